import { DataType, GraphBuilder } from '../../onnx/graph-builder';
import type { Value, Dimension } from '../../onnx/graph-builder';
import { maySpin } from '../../runtime/session';
import type { createSession } from '../../runtime/session';
import { runStep } from '../../runtime/state-session';
import type { State } from '../../runtime/state-session';
import { floatsIn, outputTensor } from '../../runtime/tensors';
import type { Tensor, Tensors } from '../../runtime/tensors';
import { backward, backwardFrom, dependents } from '../backward';
import { emitSums, names } from '../train-graph';
import type { TrainingOptions } from '../train-graph';
import type { Parameter, TrainableModel } from '../trainable-model';
import { GraphIndex } from '../../models/onnx/graph-index';
import type { GraphNode } from '../../models/onnx/graph-index';
import { ValueShapes } from '../../models/onnx/values/value-shapes';
import { ValueTypes } from '../../models/onnx/values/value-types';
import { valueInfo } from '../../onnx/messages';

type Session = Awaited<ReturnType<typeof createSession>>;

/** Session of a segment; it is fed by the batch, other segments and the state. */
interface Program {
  readonly session: Session;
}

interface ForwardProgram extends Program {
  /** Values that later segments read. */
  readonly gives: readonly Value[];
}

interface BackwardProgram extends Program {
  /** Values of earlier segments that depend on trained parameters, and whose gradients it outputs. */
  readonly flows: readonly Value[];
  readonly sums: readonly Parameter[];
}

/** Consecutive nodes of a graph, as a separate graph. */
interface Segment {
  /** Values of earlier segments that it reads. */
  readonly reads: readonly Value[];
  /** Its values that later segments read. */
  readonly gives: readonly Value[];
  /** Trained parameters that it reads. */
  readonly trained: readonly Value[];
  /** Builds a graph of its nodes, without outputs. */
  readonly build: () => GraphBuilder;
}

interface CutGraph {
  readonly segments: readonly Segment[];
  /** Values that depend on trained parameters. */
  readonly moving: ReadonlySet<Value>;
  readonly typeOf: (value: Value) => number;
  readonly shapeOf: (value: Value) => readonly Dimension[] | undefined;
}

/**
 * Cuts a graph after the nodes that produce `cuts`. Values that depend on weights only are computed in every segment
 * that reads them, so no weights are stored between segments.
 */
export function cutGraph(
  graph: GraphBuilder,
  trained: readonly Value[],
  cuts: readonly Value[],
): CutGraph {
  const proto = graph.graph;
  const index = new GraphIndex(proto, proto.name);
  const initializers = new Map(proto.initializer.map((tensor) => [tensor.name, tensor]));
  const types = new ValueTypes({ graph: proto, initializers }, index);
  const shapes = new ValueShapes(proto, index);
  const parts = splitNodes(index, new Set(cuts));
  const madeIn = new Map(
    parts.flatMap((nodes, k) =>
      nodes.flatMap((node) => node.outputs.map((value) => [value, k] as const)),
    ),
  );
  const all = parts.map((nodes) => withConstants(nodes, index));
  const readBy = all.map((nodes) => new Set(nodes.flatMap(({ inputs }) => inputs)));
  const segments = all.map((nodes, k): Segment => {
    const read = readBy[k] ?? new Set<Value>();
    const reads = [...read].filter((value) => (madeIn.get(value) ?? k) < k);
    const later = readBy.slice(k + 1);
    return {
      reads,
      gives: [...madeIn]
        .filter(([value, at]) => at === k && later.some((values) => values.has(value)))
        .map(([value]) => value),
      trained: trained.filter((value) => read.has(value)),
      build: () =>
        GraphBuilder.over(`segment.${k}`, {
          nodes: nodes.map((node) => node.proto),
          inputs: [
            ...proto.input.filter(({ name }) => read.has(name)),
            ...reads.map((value) => valueInfo(value, types.of(value), shapes.of(value))),
          ],
          outputs: [],
          constants: proto.initializer.filter(
            ({ name, externalData }) => read.has(name) && externalData.length === 0,
          ),
          weights: graph.externalData.filter(({ name }) => read.has(name)),
          opsets: graph.opsetImports,
        }),
    };
  });
  return {
    segments,
    moving: dependents(index.nodes, trained, types),
    typeOf: (value) => types.of(value),
    shapeOf: (value) => shapes.of(value),
  };
}

/** Splits the nodes that depend on inputs at the cuts. */
function splitNodes(
  { nodes, constants }: GraphIndex,
  cuts: ReadonlySet<Value>,
): readonly (readonly GraphNode[])[] {
  let last: GraphNode[] = [];
  const parts = [last];
  for (const node of nodes) {
    if (node.outputs.every((value) => constants.has(value))) {
      continue;
    }
    last.push(node);
    if (node.outputs.some((value) => cuts.has(value))) {
      last = [];
      parts.push(last);
    }
  }
  return parts;
}

/** Adds the nodes that these nodes need and that depend on weights only, in graph order. */
function withConstants(
  nodes: readonly GraphNode[],
  { constants, producers }: GraphIndex,
): readonly GraphNode[] {
  const found = new Set(nodes);
  for (const { inputs } of found) {
    for (const value of inputs) {
      const maker = constants.has(value) ? producers.get(value) : undefined;
      if (maker !== undefined) {
        found.add(maker);
      }
    }
  }
  return [...found].sort((a, b) => a.order - b.order);
}

/**
 * Loss and gradients of a model whose graph is cut into segments (gradient checkpointing). The forward pass stores only
 * values that later segments read; the backward pass recomputes each segment. Weights stay memory-mapped.
 */
export class SegmentedPass {
  private constructor(
    /** All segments except the last. */
    private readonly forward: readonly ForwardProgram[],
    /** The last segment without gradients, to compute the loss only: ONNX Runtime always runs the whole graph. */
    private readonly judging: Program,
    /** Segments that contribute to gradients, last first. */
    private readonly backward: readonly BackwardProgram[],
  ) {}

  /** Creates its sessions with `create`, which releases them if one fails. */
  public static async create(
    model: TrainableModel,
    options: TrainingOptions,
    threads: number | undefined,
    create: typeof createSession,
  ): Promise<SegmentedPass> {
    const { cuts = [], trains = () => true } = options;
    const { graph, output } = model.forward('train');
    const parameters = model.parameters.filter(({ name }) => trains(name));
    const cut = cutGraph(
      graph,
      parameters.map(({ name }) => name),
      cuts,
    );
    const open = async (built: GraphBuilder): Promise<Session> =>
      create(built, {
        device: 'cpu',
        prepack: false,
        asStored: true,
        spin: maySpin(),
        ...(threads === undefined ? {} : { threads }),
      });
    const forward: ForwardProgram[] = [];
    for (const segment of cut.segments.slice(0, -1)) {
      forward.push({ session: await open(forwardGraph(segment, cut)), gives: segment.gives });
    }
    const judgingGraph = cut.segments.at(-1)?.build() ?? none();
    judgingGraph.output(names.loss, options.loss(judgingGraph, output), DataType.FLOAT, []);
    const judging = { session: await open(judgingGraph) };
    const back: BackwardProgram[] = [];
    for (const segment of [...cut.segments].reverse()) {
      const isLast = segment === cut.segments.at(-1);
      const flows = segment.reads.filter((value) => cut.moving.has(value));
      const own = parameters.filter(({ name }) => segment.trained.includes(name));
      if (!isLast && flows.length + own.length === 0) {
        continue;
      }
      const built = segment.build();
      const targets = [...own.map(({ name }) => name), ...flows];
      let gradients: ReadonlyMap<Value, Value>;
      if (isLast) {
        const loss = built.within('loss', () => options.loss(built, output));
        gradients = backward(built, loss, targets);
        built.output(names.loss, loss, DataType.FLOAT, []);
      } else {
        const given = segment.gives.filter((value) => cut.moving.has(value));
        const inputs = given.map((value) => {
          const name = built.input(names.flowing(value), DataType.FLOAT, cut.shapeOf(value));
          return [value, name] as const;
        });
        gradients = backwardFrom(built, new Map(inputs), targets);
      }
      const sums = emitSums(built, own, gradients);
      for (const value of flows) {
        const gradient = gradients.get(value) ?? '';
        built.output(names.flowing(value), gradient, DataType.FLOAT, cut.shapeOf(value));
      }
      back.push({ session: await open(built), flows, sums });
    }
    return new SegmentedPass(forward, judging, back);
  }

  /** Accumulated gradients. */
  public get state(): readonly Parameter[] {
    const all = this.backward.flatMap(({ sums }) => sums);
    return [...new Map(all.map((sum) => [sum.name, sum])).values()];
  }

  /** Computes the loss of a batch. */
  public async lossOf(batch: Tensors, state: State): Promise<Tensor> {
    const values = await this.run(batch, state);
    const feeds = selectFeeds(this.judging, { ...batch, ...values });
    const outputs = await runStep(this.judging.session, feeds, state, [], [names.loss], names.next);
    return outputTensor(outputs, names.loss);
  }

  /** Adds the gradients to the state, unless the loss isn't finite. Returns the loss by its name. */
  public async train(batch: Tensors, state: State): Promise<Tensors> {
    const values = await this.run(batch, state);
    const flowing = new Map<string, Tensor>();
    let loss: Tensor | undefined;
    for (const program of this.backward) {
      const { session, flows, sums } = program;
      const written = sums.map(({ name }) => name);
      const feeds = selectFeeds(program, { ...batch, ...values, ...Object.fromEntries(flowing) });
      const wanted = [...(loss === undefined ? [names.loss] : []), ...flows.map(names.flowing)];
      const outputs = await runStep(session, feeds, state, written, wanted, names.next);
      if (loss === undefined) {
        loss = outputTensor(outputs, names.loss);
        if (!floatsIn(loss).every(Number.isFinite)) {
          break;
        }
      }
      state.accept(written);
      session.inputNames.forEach((name) => flowing.delete(name));
      for (const name of flows.map(names.flowing)) {
        addTo(flowing, name, outputTensor(outputs, name));
      }
    }
    return { [names.loss]: loss ?? none() };
  }

  public async dispose(): Promise<void> {
    const programs = [...this.forward, this.judging, ...this.backward];
    await Promise.all(programs.map(async ({ session }) => session.release()));
  }

  /** Runs the forward pass and returns the values that later segments read. */
  private async run(batch: Tensors, state: State): Promise<Tensors> {
    const values: Record<string, Tensor> = {};
    for (const program of this.forward) {
      const wanted = program.gives.map(names.kept);
      const feeds = selectFeeds(program, { ...batch, ...values });
      const outputs = await runStep(program.session, feeds, state, [], wanted, names.next);
      for (const value of program.gives) {
        values[value] = outputTensor(outputs, names.kept(value));
      }
    }
    return values;
  }
}

function forwardGraph({ build, gives }: Segment, { typeOf, shapeOf }: CutGraph): GraphBuilder {
  const graph = build();
  for (const value of gives) {
    graph.output(names.kept(value), value, typeOf(value), shapeOf(value));
  }
  return graph;
}

const selectFeeds = ({ session }: Program, given: Tensors): Tensors =>
  Object.fromEntries(Object.entries(given).filter(([name]) => session.inputNames.includes(name)));

function addTo(sums: Map<string, Tensor>, name: string, term: Tensor): void {
  const sum = sums.get(name);
  if (sum === undefined) {
    sums.set(name, term);
    return;
  }
  const numbers = floatsIn(sum);
  floatsIn(term).forEach((value, i) => {
    numbers[i] = (numbers[i] ?? 0) + value;
  });
}

function none(): never {
  throw new Error('a model that is trained has a last segment');
}
