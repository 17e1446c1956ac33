import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { LinearRole } from '../matrix-encoding';
import { prunableWidth, isPlain, linearSizes, inputCuts, outputCuts } from '../width-pruning/width';
import type { Places, Width } from '../width-pruning/width';
import { emitActivation } from '../parts/activations';
import { emitLinear } from '../parts/linear';
import type { Linear } from '../parts/linear';
import type { MlpPart, MlpSource } from '../parts/mlp-part';
import type { Architecture, Biases, GateUpOrder } from '../transformer/architecture';
import type { TensorFinder } from '../transformer/tensor-finder';
import { findMlpParts } from '../parts/mlp-part';
import { SublayerModule } from './sublayer';
import type { RoledLinear } from './sublayer';
import { findWiring } from './wiring';
import type { BranchShape, Wiring } from './wiring';

/** Sizes shared by all MLPs of a model. */
export interface FeedforwardShape extends BranchShape {
  readonly activation: string;
  readonly gated: boolean;
  /** Order of gate and up in a fused projection. */
  readonly gateUpOrder: GateUpOrder | undefined;
}

/** Weights of one MLP. */
export interface FeedforwardWeights extends Wiring {
  /** [gate, up] or one fused matrix; [up] without a gate. */
  readonly gateUp: readonly Linear[];
  readonly down: Linear;
  /** Parts that only some architectures have. */
  readonly parts?: readonly MlpPart[];
}

/**
 * down(activation(gate(x)) · up(x)) (GLU variants, arXiv 2002.05202); without a gate down(activation(up(x))).
 */
export class Mlp extends SublayerModule<FeedforwardWeights, FeedforwardShape> {
  public readonly kind = 'feedforward';

  public get linears(): readonly Linear[] {
    return [...this.weights.gateUp, this.weights.down];
  }

  protected get roles(): readonly RoledLinear[] {
    return mlpRoles(this.weights, this.shape.gated);
  }

  protected get outputLinears(): readonly Linear[] {
    return [this.weights.down];
  }

  protected override get otherTensors(): readonly LazyTensor[] {
    return (this.weights.parts ?? []).flatMap(({ tensors = [] }) => tensors);
  }

  public mapLinears(map: (linear: Linear) => Linear): this {
    return this.withWeights({ ...this.weights, ...mapMlp(this.weights, map) });
  }

  public override get width(): Width | undefined {
    const { gateUp, down, parts = [] } = this.weights;
    const { gated, gateUpOrder } = this.shape;
    const count = linearSizes(down).in;
    const both: Places =
      gateUpOrder === 'alternating'
        ? (kept) => kept.flatMap((channel) => [2 * channel, 2 * channel + 1])
        : (kept) => [...kept, ...kept.map((channel) => channel + count)];
    const same: Places = (kept) => kept;
    const isFused = gated && gateUp.length === 1;
    const tensors = [
      ...gateUp.flatMap((linear) => outputCuts(linear, isFused ? both : same)),
      ...inputCuts(down, same),
    ];
    return !parts.some(({ dependsOnChannels }) => dependsOnChannels) &&
      [...gateUp, down].every(isPlain)
      ? prunableWidth('channels', count, tensors, down)
      : undefined;
  }

  protected emitBranch(graph: GraphBuilder, normed: Value): Value {
    const rows = graph.op('Reshape', [normed, graph.ints([-1, this.shape.hiddenSize])]);
    const out = emitDown(graph, this.shape, this.weights, rows);
    return graph.op('Reshape', [out, graph.op('Shape', [normed])]);
  }
}

/** Linear layers of an MLP, or of an expert, with their roles. */
export function mlpRoles(
  { gateUp, down }: Pick<FeedforwardWeights, 'gateUp' | 'down'>,
  gated: boolean,
): RoledLinear[] {
  const [first, second] = gateUp;
  const inner: [LinearRole, Linear | undefined][] =
    second === undefined
      ? [[gated ? 'gate-up' : 'up', first]]
      : [
          ['gate', first],
          ['up', second],
        ];
  const all: typeof inner = [...inner, ['down', down]];
  return all.flatMap(([role, linear]): RoledLinear[] =>
    linear === undefined ? [] : [[role, linear]],
  );
}

export const mapMlp = (
  { gateUp, down }: Pick<FeedforwardWeights, 'gateUp' | 'down'>,
  map: (linear: Linear) => Linear,
): Pick<FeedforwardWeights, 'gateUp' | 'down'> => ({ gateUp: gateUp.map(map), down: map(down) });

/** Emits the whole MLP of rows x [rows, hiddenSize], without its outer norms. */
export function emitDown(
  graph: GraphBuilder,
  shape: FeedforwardShape,
  weights: Omit<FeedforwardWeights, keyof Wiring>,
  rows: Value,
): Value {
  const { parts = [], down } = weights;
  const inner = parts.reduce(
    (given, part) => part.inner?.(graph, given) ?? given,
    emitInner(graph, shape, weights, rows),
  );
  return emitLinear(graph, down, inner);
}

/** Emits activation(gate(x)) · up(x), or activation(up(x)), of rows x [rows, hiddenSize]. */
function emitInner(
  graph: GraphBuilder,
  shape: FeedforwardShape,
  { gateUp, parts = [] }: Pick<FeedforwardWeights, 'gateUp' | 'parts'>,
  rows: Value,
): Value {
  const projected = gateUp.map((linear) => emitLinear(graph, linear, rows));
  const [first = ''] = projected;
  const { activation, gateUpOrder } = shape;
  const own = parts.find((part) => part.activation !== undefined)?.activation;
  const activate = (x: Value): Value => {
    const gate = parts.reduce((given, part) => part.gate?.(graph, given) ?? given, x);
    return own?.(graph, gate) ?? emitActivation(graph, activation, gate);
  };
  if (!shape.gated) {
    return activate(first);
  }
  const [gate = '', up = ''] =
    projected.length === 2 ? projected : emitGateAndUp(graph, first, gateUpOrder);
  const product = parts.find((part) => part.product !== undefined)?.product;
  return product?.(graph, gate, up, activate) ?? graph.op('Mul', [activate(gate), up]);
}

/** Emits gate and up of a fused projection. */
function emitGateAndUp(graph: GraphBuilder, x: Value, order: GateUpOrder | undefined): Value[] {
  if (order !== 'alternating') {
    const halves = graph.ops('Split', [x], 2, { axis: -1 });
    return order === 'up-gate' ? halves.toReversed() : halves;
  }
  const end = graph.ints([Number.MAX_SAFE_INTEGER]);
  return [0, 1].map((start) =>
    graph.op('Slice', [x, graph.ints([start]), end, graph.ints([1]), graph.ints([2])]),
  );
}

/** MLP weights of a block. */
export function findFeedforward(
  { wiring, gateUp, down, parts }: Architecture['feedforward'],
  { feedforward: bias, feedforwardOutput: lastBias = bias }: Biases,
  tensors: TensorFinder,
  source: Omit<MlpSource, 'tensors'>,
  hidden: number,
): FeedforwardWeights {
  const { prefix, inner } = source;
  return {
    ...findWiring(wiring, tensors, prefix, hidden),
    gateUp: tensors.projections(prefix, gateUp, [inner, inner], hidden, [bias, bias]),
    down: tensors.linear(`${prefix}${down}`, hidden, inner, lastBias),
    parts: findMlpParts(parts, { ...source, tensors }),
  };
}
