import { sliceRows } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { say } from '../../message';
import type { Message } from '../../message';
import type { ExpertSummary } from '../model-summary';
import { emitLinear } from '../parts/linear';
import type { Linear } from '../parts/linear';
import { emitTableChoice } from '../parts/moe-part';
import type { MoePart } from '../parts/moe-part';
import { emitRouting } from '../parts/routing';
import type { Routed, Routing } from '../parts/routing';
import { emitPieces } from '../parts/weight';
import { routedNames } from '../model-emitter';
import type { EmitOptions } from '../model-emitter';
import { partTensors, storedTensors } from '../transformer/part-tensors';
import type { ExpertTensors } from '../transformer/part-tensors';
import { runningCosts, linearFlops, weightCounter } from './costs';
import { emitDown, mapMlp, mlpRoles } from './mlp';
import type { FeedforwardShape, FeedforwardWeights } from './mlp';
import { linearIfAny, SublayerModule } from './sublayer';
import type { LinearLayer } from '../matrix-encoding';
import type { BranchInput, RoledLinear, SingleExperts, SpecialSide } from './sublayer';
import type { Wiring } from './wiring';

/** Sizes shared by all MoE layers of a model. */
export interface ExpertShape extends FeedforwardShape, Routing {
  /** Number of experts. */
  readonly count: number;
  /** Width of an expert. */
  readonly inner: number;
  /** True if single experts can't be removed. */
  readonly staysWhole: boolean;
}

/** Weights of one expert: an MLP without norms. */
export type Expert = Pick<FeedforwardWeights, 'gateUp' | 'down' | 'parts'>;

/** Weights of one MoE layer. */
export interface ExpertWeights extends Wiring {
  /** Router weights [count, hiddenSize], in one or more parts along the first axis. */
  readonly router: readonly LazyTensor[];
  /** Bias of the scores and bias used only for the selection: [count], in the same parts. */
  readonly routerBias: readonly LazyTensor[];
  readonly choiceBias: readonly LazyTensor[];
  readonly experts: readonly Expert[];
  /** Expert that processes every token. */
  readonly shared?: SharedExpert;
  /** Parts that only some architectures have. */
  readonly parts: readonly MoePart[];
}

/** Expert for all tokens. Its output is multiplied by σ(gate(x)) if it has a gate. */
export interface SharedExpert extends Expert {
  readonly gate?: Linear;
}

/**
 * A MoE layer: Σⱼ wⱼ · expertⱼ(norm(x)) over the experts of each token (arXiv 2101.03961, 2401.04088), plus the shared
 * expert (arXiv 2401.06066).
 */
export class Moe extends SublayerModule<ExpertWeights, ExpertShape> {
  public readonly kind = 'expert';

  public override get detail(): Message {
    const { perToken, count } = this.shape;
    return say`${perToken} of ${count} per token`;
  }

  public override get specialSides(): readonly SpecialSide[] {
    return this.table === undefined ? [] : ['ids'];
  }

  /** Table of the experts of each token id, if scores don't choose them. */
  private get table(): LazyTensor | undefined {
    return expertTable(this.weights);
  }

  /** Linear layers that process every token. */
  private get commonLinears(): readonly Linear[] {
    const { router, shared } = this.weights;
    return [
      ...router.map((weight) => ({ weight })),
      ...(shared === undefined ? [] : [...expertLinears(shared), ...linearIfAny(shared.gate)]),
    ];
  }

  public get linears(): readonly Linear[] {
    return [...this.commonLinears, ...this.weights.experts.flatMap(expertLinears)];
  }

  /** Layers that can be compressed: the router can't. */
  protected get roles(): readonly RoledLinear[] {
    const { count, perToken, gated } = this.shape;
    return this.allExperts.flatMap((expert, index) =>
      mlpRoles(expert, gated).map(([role, linear]): RoledLinear =>
        index < count ? [role, linear, { index, share: perToken / count }] : [role, linear],
      ),
    );
  }

  /** The experts, and the shared one. */
  private get allExperts(): readonly Expert[] {
    const { experts, shared } = this.weights;
    return shared === undefined ? experts : [...experts, shared];
  }

  protected get outputLinears(): readonly Linear[] {
    return this.allExperts.map(({ down }) => down);
  }

  public override get outputTensors(): readonly LazyTensor[] {
    const biases = this.weights.parts.map(({ sumBias }) => sumBias);
    return [...super.outputTensors, ...biases.filter((bias) => bias !== undefined)];
  }

  protected override get otherTensors(): readonly (LazyTensor | undefined)[] {
    const { routerBias, choiceBias, parts } = this.weights;
    return [
      ...routerBias,
      ...choiceBias,
      ...parts.flatMap(({ tensors = [], byExpert = [], table, sumBias }) => [
        ...byExpert,
        ...tensors,
        table,
        sumBias,
      ]),
    ];
  }

  /** The table of experts holds integers, which is checked when it is found. */
  public override get floatTensors(): readonly LazyTensor[] {
    return super.floatTensors.filter((tensor) => tensor !== this.table);
  }

  public mapLinears(map: (linear: Linear) => Linear): this {
    const { experts, shared, router, routerBias } = this.weights;
    const repaired = (weight: LazyTensor): LazyTensor => {
      const { encoding } = map({ weight });
      return encoding?.kind === 'dense' ? encoding.weight : weight;
    };
    return this.withWeights({
      ...this.weights,
      router: router.map(repaired),
      routerBias: routerBias.map(repaired),
      experts: experts.map((expert) => ({ ...expert, ...mapMlp(expert, map) })),
      ...(shared === undefined ? {} : { shared: { ...shared, ...mapMlp(shared, map) } }),
    });
  }

  public override routerLayers(sublayer: number): LinearLayer[] {
    const { router, routerBias } = this.weights;
    return [...router, ...routerBias].map((weight): LinearLayer => {
      const [out = 0, input = 1] = weight.shape;
      return {
        id: weight.name,
        sublayer,
        role: 'other',
        out,
        in: input,
        weight,
        transposed: false,
      };
    });
  }

  /** Undefined unless the router's rows are stored one after the other and the architecture allows it. */
  public override get expertTensors(): ExpertTensors | undefined {
    const { router: pieces, routerBias, choiceBias, parts, experts } = this.weights;
    const [router] = pieces;
    return router === undefined || router.packed !== undefined || this.shape.staysWhole
      ? undefined
      : {
          byRow: [
            router,
            ...routerBias,
            ...choiceBias,
            ...parts.flatMap(({ byExpert = [] }) => byExpert),
          ],
          experts: experts.map((expert) =>
            expertLinears(expert).flatMap((linear) => partTensors(linear)),
          ),
        };
  }

  public override get expertSummary(): ExpertSummary | undefined {
    const { expertTensors } = this;
    if (expertTensors === undefined) {
      return undefined;
    }
    const { count, perToken, groups } = this.shape;
    const all = [...expertTensors.byRow, ...expertTensors.experts.flat()];
    const mean = (value: (tensor: LazyTensor) => number): number =>
      Math.round(all.reduce((sum, tensor) => sum + value(tensor), 0) / count);
    return {
      count,
      perToken,
      // The table of experts would still name a removed one.
      ...(this.table === undefined ? {} : { least: count }),
      ...(groups === undefined
        ? {}
        : { groups: groups.count, least: groups.count * leastInGroup(groups, perToken) }),
      parameters: mean(weightCounter(this.linears)),
      bytes: mean(({ length }) => length),
    };
  }

  public override get singleExperts(): SingleExperts | undefined {
    const { shape, weights } = this;
    if (this.table !== undefined) {
      return undefined;
    }
    const own = new Set(weights.experts.flatMap(expertLinears).flatMap(storedTensors));
    const others = this.tensors(storedTensors).filter((tensor) => !own.has(tensor));
    return {
      otherCosts: runningCosts(others, this.commonLinears),
      experts: weights.experts.map((expert) => {
        const linears = expertLinears(expert);
        return {
          costs: runningCosts(linears.flatMap(storedTensors), linears),
          layers: linears.map(({ weight }) => weight.name),
          emit: (graph, rows, shares) =>
            emitExpert(graph, shape, expert, { rows, shares, parts: weights.parts }),
        };
      }),
    };
  }

  public override get flopsPerToken(): number {
    const { perToken, count } = this.shape;
    const always = linearFlops(this.commonLinears);
    return always + ((linearFlops(this.linears) - always) * perToken) / count;
  }

  protected emitBranch(
    graph: GraphBuilder,
    normed: Value,
    { x, side, options }: BranchInput,
  ): Value {
    const { expertMask, remainingExperts, apart } = options;
    const { shape, weights } =
      remainingExperts === undefined
        ? this
        : keepExperts(this.shape, this.weights, remainingExperts);
    return emitMoe(
      graph,
      shape,
      weights,
      { input: x, normed },
      {
        ...(expertMask === undefined ? {} : { mask: expertMask }),
        ...(side.ids === undefined ? {} : { tokens: side.ids }),
        ...(apart === undefined ? {} : { apart }),
      },
    );
  }
}

/** Experts that each group needs for its score, and for the experts of a token to come from the chosen groups. */
const leastInGroup = (
  { chosen, best }: NonNullable<ExpertShape['groups']>,
  perToken: number,
): number => Math.max(best, Math.ceil(perToken / chosen));

const expertTable = ({ parts }: Pick<ExpertWeights, 'parts'>): LazyTensor | undefined =>
  parts.find(({ table }) => table !== undefined)?.table;

const expertLinears = ({ gateUp, down }: Expert): readonly Linear[] => [...gateUp, down];

interface MoeOptions extends Pick<EmitOptions, 'apart'> {
  readonly mask?: Value;
  readonly tokens?: Value;
}

/**
 * Emits the output of a MoE layer for `input` [batch, sequence, hiddenSize]. Each expert runs only on its rows.
 * `mask` [batch, count] is added to the scores: −∞ for excluded experts, else 0.
 */
function emitMoe(
  graph: GraphBuilder,
  shape: ExpertShape,
  weights: ExpertWeights,
  { input, normed }: { readonly input: Value; readonly normed: Value },
  { mask, tokens = '', apart: only }: MoeOptions,
): Value {
  const { hiddenSize, perToken } = shape;
  const { shared, parts } = weights;
  const toRows = (x: Value): Value => graph.op('Reshape', [x, graph.ints([-1, hiddenSize])]);
  const rows = toRows(normed);
  const read = parts.reduce(
    (given, part) => part.expertInput?.(graph, toRows(input)) ?? given,
    rows,
  );
  const route = (): Routed => {
    const judged = parts.reduce(
      (given, part) => part.routerInput?.(graph, toRows(input)) ?? given,
      rows,
    );
    const scores = graph.step('router', () => emitScores(graph, weights, judged));
    return graph.step('choose', () => {
      const maskRows = mask === undefined ? undefined : emitMaskRows(graph, shape, input, mask);
      const masked = (): Value =>
        maskRows === undefined ? scores : graph.op('Add', [scores, maskRows]);
      const table = expertTable(weights);
      const own = parts.find((part) => part.route !== undefined)?.route;
      const routed =
        own?.(graph, masked(), perToken) ??
        emitRouting(graph, shape, {
          scores,
          bias: emitPieces(graph, weights.choiceBias),
          ...(maskRows === undefined ? {} : { mask: maskRows }),
          ...(table === undefined ? {} : { chosen: emitTableChoice(graph, table, input, tokens) }),
        });
      return parts.reduce(
        (given, part) => ({ ...given, shares: part.shares?.(graph, given) ?? given.shares }),
        routed,
      );
    });
  };
  if (only?.part === 'route') {
    const { chosen, shares } = route();
    graph.mark(routedNames.rows, read);
    graph.mark(routedNames.chosen, chosen);
    graph.mark(routedNames.shares, shares);
    return input;
  }
  const routed = only === undefined ? route() : { sum: only.sum };
  const beside =
    shared === undefined
      ? undefined
      : graph.part('shared', () => emitShared(graph, shape, shared, rows));
  const nothing = (): Value =>
    graph.step('weighted-sum', () => graph.op('Mul', [read, graph.scalar(0)]));
  const combined = parts.find((part) => part.combined !== undefined)?.combined;
  const start = combined === undefined ? (beside ?? nothing()) : nothing();
  const sum =
    'sum' in routed
      ? graph.op('Add', [start, routed.sum])
      : weights.experts.reduce(
          (before, expert, j) =>
            emitAdded(graph, shape, expert, { read, before, routed, j, parts }),
          start,
        );
  const all = beside === undefined ? sum : (combined?.(graph, sum, beside) ?? sum);
  const whole = parts.reduce((given, part) => part.output?.(graph, given) ?? given, all);
  return graph.op('Reshape', [whole, graph.op('Shape', [input])]);
}

/** An expert whose output is added to a sum. */
interface AddedExpert extends Pick<ExpertWeights, 'parts'> {
  /** Rows of all tokens. */
  readonly read: Value;
  readonly before: Value;
  readonly routed: Routed;
  readonly j: number;
}

/** Emits the sum with the output of expert `j` for its rows of `read`. */
function emitAdded(
  graph: GraphBuilder,
  shape: ExpertShape,
  expert: Expert,
  { read, before, routed, j, parts }: AddedExpert,
): Value {
  const { own, numbers } = graph.step('choose', () => emitOwnRows(graph, routed, j));
  const output = graph.part(`expert.${j}`, () =>
    emitExpert(graph, shape, expert, {
      ...{ parts, shares: own },
      rows: graph.op('Gather', [read, numbers]),
    }),
  );
  return graph.step('weighted-sum', () => {
    const indices = graph.op('Unsqueeze', [numbers, graph.ints([1])]);
    return graph.op('ScatterND', [before, indices, output], { reduction: 'add' });
  });
}

/** Emits the weighted output of an expert for rows [rows, hiddenSize] and their weights [rows, 1]. */
function emitExpert(
  graph: GraphBuilder,
  shape: ExpertShape,
  expert: Expert,
  {
    rows,
    shares,
    parts,
  }: { readonly rows: Value; readonly shares: Value } & Pick<ExpertWeights, 'parts'>,
): Value {
  const emit = (given: Value): Value => emitDown(graph, shape, expert, given);
  const weighted = parts.find((part) => part.weighted !== undefined)?.weighted;
  return weighted?.(graph, rows, shares, emit) ?? graph.op('Mul', [emit(rows), shares]);
}

/** Emits the row indices routed to expert `j`, and their routing weights. */
function emitOwnRows(
  graph: GraphBuilder,
  { chosen, shares }: Routed,
  j: number,
): { readonly own: Value; readonly numbers: Value } {
  const isChosen = graph.op('Equal', [chosen, graph.ints([j], [])]);
  const share = graph.op('ReduceSum', [
    graph.op('Where', [isChosen, shares, graph.scalar(0)]),
    graph.ints([1]),
  ]);
  // NonZero returns indices as [rank, count]; each row has an expert at most once.
  const places = graph.op('NonZero', [isChosen]);
  const numbers = graph.op('Gather', [places, graph.ints([0], [])]);
  return { own: graph.op('Gather', [share, numbers]), numbers };
}

/** Returns shape and weights of a MoE layer with only the experts `kept`, in ascending order. */
function keepExperts(
  shape: ExpertShape,
  weights: ExpertWeights,
  kept: readonly number[],
): Pick<Moe, 'shape' | 'weights'> {
  const runs: { start: number; end: number }[] = [];
  for (const expert of kept) {
    const last = runs.at(-1);
    if (last?.end === expert) {
      last.end++;
    } else {
      runs.push({ start: expert, end: expert + 1 });
    }
  }
  const remainingRows = ([whole, ...others]: readonly LazyTensor[]): LazyTensor[] => {
    if (others.length > 0) {
      throw new Error('experts were already removed from this MoE layer');
    }
    return whole === undefined ? [] : runs.map(({ start, end }) => sliceRows(whole, start, end));
  };
  return {
    shape: { ...shape, count: kept.length, perToken: Math.min(shape.perToken, kept.length) },
    weights: {
      ...weights,
      router: remainingRows(weights.router),
      routerBias: remainingRows(weights.routerBias),
      choiceBias: remainingRows(weights.choiceBias),
      parts: weights.parts.map((part) => part.withRows?.(remainingRows) ?? part),
      experts: weights.experts.filter((_, expert) => kept.includes(expert)),
    },
  };
}

function emitShared(
  graph: GraphBuilder,
  shape: ExpertShape,
  shared: SharedExpert,
  rows: Value,
): Value {
  const output = emitDown(graph, shape, shared, rows);
  return shared.gate === undefined
    ? output
    : graph.op('Mul', [output, graph.op('Sigmoid', [emitLinear(graph, shared.gate, rows)])]);
}

/** Scores [rows, count]. */
function emitScores(
  graph: GraphBuilder,
  { router, routerBias }: ExpertWeights,
  rows: Value,
): Value {
  const [first, ...others] = router;
  const bias = emitPieces(graph, routerBias);
  const scores =
    first !== undefined && others.length === 0
      ? emitLinear(graph, { weight: first }, rows)
      : graph.op('Gemm', [rows, emitPieces(graph, router) ?? ''], { transB: 1 });
  return bias === undefined ? scores : graph.op('Add', [scores, bias]);
}

/** mask [batch, count] for each of the rows of an example: [rows, count]. */
function emitMaskRows(
  graph: GraphBuilder,
  { count }: ExpertShape,
  hidden: Value,
  mask: Value,
): Value {
  const leading = graph.op('Slice', [
    graph.op('Shape', [hidden]),
    graph.ints([0]),
    graph.ints([2]),
  ]);
  const size = graph.op('Concat', [leading, graph.ints([count])], { axis: 0 });
  const every = graph.op('Expand', [graph.op('Unsqueeze', [mask, graph.ints([1])]), size]);
  return graph.op('Reshape', [every, graph.ints([-1, count])]);
}
