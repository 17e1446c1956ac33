import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { LinearRole } from '../matrix-encoding';
import { prunableWidth, isPlain, linearSizes, inputCuts, outputCuts } from '../width-pruning/width';
import type { Places, Width } from '../width-pruning/width';
import { emitActivation, sigmoidGelu } from '../parts/activations';
import { emitLinear } from '../parts/linear';
import type { Linear } from '../parts/linear';
import { emitNorm } from '../parts/norm';
import type { Norm } from '../parts/norm';
import { emitOpen } from '../parts/sparsity';
import { emitWeight } from '../parts/weight';
import type { Architecture, Biases, ClampedGate } from '../transformer/architecture';
import type { TensorFinder } from '../transformer/tensor-finder';
import { SublayerModule } from './sublayer';
import type { RoledLinear } from './sublayer';
import { findWiring } from './wiring';
import type { BranchShape, Wiring } from './wiring';

const xieluTensors = (curve: Xielu | undefined): LazyTensor[] =>
  curve === undefined ? [] : [curve.positive, curve.negative, curve.beta, curve.epsilon];

/** Sizes shared by all MLPs of a model. */
export interface FeedforwardShape extends BranchShape {
  /** Scale of the input of the activation. */
  readonly gateScale: number;
  readonly activation: string;
  readonly gated: boolean;
  /** True if a fused matrix interleaves the rows of gate and up. */
  readonly takesTurns: boolean;
  /** True if a fused matrix has up before gate. */
  readonly upFirst: boolean;
  readonly clamped: ClampedGate | undefined;
}

/** Weights of one MLP. */
export interface FeedforwardWeights extends Wiring {
  /** [gate, up] or one fused matrix; [up] without a gate. */
  readonly gateUp: readonly Linear[];
  readonly down: Linear;
  /** Norm of the input of `down`. */
  readonly innerNorm?: Norm;
  readonly curve?: Xielu;
  /** Threshold of gates in standard deviations above their mean. Gates below it are set to 0. */
  readonly openFrom?: number;
}

/** Weights of the activation xIELU (arXiv 2411.13010). */
export interface Xielu {
  /** [1] each, before softplus. */
  readonly positive: LazyTensor;
  readonly negative: LazyTensor;
  /** [] */
  readonly beta: LazyTensor;
  /** []: upper bound of what is exponentiated. */
  readonly epsilon: LazyTensor;
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

  protected override get innerNorms(): readonly (Norm | undefined)[] {
    return [this.weights.innerNorm];
  }

  protected override get otherTensors(): readonly LazyTensor[] {
    return xieluTensors(this.weights.curve);
  }

  public mapLinears(map: (linear: Linear) => Linear): this {
    return this.withWeights({ ...this.weights, ...mapMlp(this.weights, map) });
  }

  public override get width(): Width | undefined {
    const { gateUp, down, innerNorm, openFrom } = this.weights;
    const { gated, takesTurns } = this.shape;
    const count = linearSizes(down).in;
    const both: Places = takesTurns
      ? (kept) => kept.flatMap((channel) => [2 * channel, 2 * channel + 1])
      : (kept) => [...kept, ...kept.map((channel) => channel + count)];
    const same: Places = (kept) => kept;
    const isFused = gated && gateUp.length === 1;
    const tensors = [
      ...gateUp.flatMap((linear) => outputCuts(linear, isFused ? both : same)),
      ...inputCuts(down, same),
    ];
    // With fewer channels the mean of the norm, or of the gates, would change.
    return innerNorm === undefined && openFrom === undefined && [...gateUp, down].every(isPlain)
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

/** Emits the whole feed-forward of rows x [rows, hiddenSize], without its outer norms. */
export function emitDown(
  graph: GraphBuilder,
  shape: FeedforwardShape,
  weights: Omit<FeedforwardWeights, keyof Wiring>,
  rows: Value,
): Value {
  const inner = emitInner(graph, shape, weights, rows);
  const { innerNorm } = weights;
  const normed = innerNorm === undefined ? inner : emitNorm(graph, shape.norm, inner, innerNorm);
  return emitLinear(graph, weights.down, normed);
}

/** Emits activation(gate(x)) · up(x), or activation(up(x)), of rows x [rows, hiddenSize]. */
function emitInner(
  graph: GraphBuilder,
  shape: FeedforwardShape,
  { gateUp, curve, openFrom }: Pick<FeedforwardWeights, 'gateUp' | 'curve' | 'openFrom'>,
  rows: Value,
): Value {
  const projected = gateUp.map((linear) => emitLinear(graph, linear, rows));
  const [first = ''] = projected;
  const { activation, clamped } = shape;
  const activate = (x: Value): Value => {
    const open = openFrom === undefined ? x : emitOpen(graph, x, openFrom);
    const scaled =
      shape.gateScale === 1 ? open : graph.op('Mul', [open, graph.scalar(shape.gateScale)]);
    return curve === undefined
      ? emitActivation(graph, activation, scaled)
      : emitXielu(graph, scaled, curve);
  };
  if (!shape.gated) {
    return activate(first);
  }
  const two = projected.length === 2 ? projected : emitTwo(graph, first, shape.takesTurns);
  const [gate = '', up = ''] = shape.upFirst ? two.toReversed() : two;
  if (clamped === undefined) {
    return graph.op('Mul', [activate(gate), up]);
  }
  const { alpha, limit } = clamped;
  const low = graph.op('Min', [gate, graph.scalar(limit)]);
  const near = graph.op('Clip', [up, graph.scalar(-limit), graph.scalar(limit)]);
  return alpha === undefined
    ? graph.op('Mul', [activate(low), near])
    : graph.op('Mul', [graph.op('Add', [near, graph.scalar(1)]), sigmoidGelu(alpha)(graph, low)]);
}

/** Emits the halves of the last axis, or its even and odd places. */
function emitTwo(graph: GraphBuilder, x: Value, takesTurns: boolean): Value[] {
  if (!takesTurns) {
    return graph.ops('Split', [x], 2, { axis: -1 });
  }
  const end = graph.ints([Number.MAX_SAFE_INTEGER]);
  return [0, 1].map((start) =>
    graph.op('Slice', [x, graph.ints([start]), end, graph.ints([1]), graph.ints([2])]),
  );
}

/** α₊x² + βx where x > 0, else α₋(exp(x) − 1 − x) + βx. */
function emitXielu(
  graph: GraphBuilder,
  x: Value,
  { positive, negative, ...constants }: Xielu,
): Value {
  return graph.step('xielu', () => {
    const beta = emitWeight(graph, constants.beta);
    const epsilon = emitWeight(graph, constants.epsilon);
    const softplus = (tensor: LazyTensor): Value =>
      graph.op('Softplus', [emitWeight(graph, tensor)]);
    const above = graph.op('Mul', [softplus(positive), graph.op('Mul', [x, x])]);
    const exponential = graph.op('Exp', [graph.op('Min', [x, epsilon])]);
    const curve = graph.op('Sub', [graph.op('Sub', [exponential, graph.scalar(1)]), x]);
    const below = graph.op('Mul', [graph.op('Add', [softplus(negative), beta]), curve]);
    const isAbove = graph.op('Greater', [x, graph.scalar(0)]);
    const bent = graph.op('Where', [isAbove, above, below]);
    return graph.op('Add', [bent, graph.op('Mul', [x, beta])]);
  });
}

/** Weights of the feed-forward of the block whose tensors begin with `prefix`. */
export function findFeedforward(
  names: Architecture['feedforward'],
  { feedforward: bias, feedforwardOutput: lastBias = bias }: Biases,
  tensors: TensorFinder,
  prefix: string,
  { hidden, inner }: { readonly hidden: number; readonly inner: number },
): FeedforwardWeights {
  const { gateUp, down, innerNorm, curve } = names;
  return {
    ...findWiring(names.wiring, tensors, prefix, hidden),
    gateUp: tensors.projections(prefix, gateUp, [inner, inner], hidden, [bias, bias]),
    down: tensors.linear(`${prefix}${down}`, hidden, inner, lastBias),
    ...(innerNorm === undefined ? {} : { innerNorm: tensors.norm(`${prefix}${innerNorm}`, inner) }),
    ...(curve === undefined
      ? {}
      : {
          curve: {
            positive: tensors.take(`${prefix}${curve}.alpha_p`, [1]),
            negative: tensors.take(`${prefix}${curve}.alpha_n`, [1]),
            beta: tensors.take(`${prefix}${curve}.beta`, []),
            epsilon: tensors.take(`${prefix}${curve}.eps`, []),
          },
        }),
  };
}
