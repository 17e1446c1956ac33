import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { float } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { emitLinear } from './linear';
import { emitOpen } from './sparsity';
import type { Linear } from './linear';
import { emitBranchInput, emitNorm, emitResidual } from './norm';
import type { Branch, Norm, NormStyle } from './norm';
import { emitWeight } from './weight';

type Activation = (graph: GraphBuilder, x: Value) => Value;

/** x · Φ(x), with Φ by its tanh approximation (arXiv 1606.08415). */
const tanhGelu: Activation = (graph, x) => {
  const cube = graph.op('Mul', [graph.op('Mul', [x, x]), x]);
  const inner = graph.op('Add', [x, graph.op('Mul', [cube, graph.scalar(0.044715)])]);
  const tanh = graph.op('Tanh', [graph.op('Mul', [inner, graph.scalar(Math.sqrt(2 / Math.PI))])]);
  const gate = graph.op('Add', [tanh, graph.scalar(1)]);
  return graph.op('Mul', [graph.op('Mul', [x, graph.scalar(0.5)]), gate]);
};

/** x · σ(factor · x) */
const sigmoidGelu =
  (factor: number): Activation =>
  (graph, x) =>
    graph.op('Mul', [x, graph.op('Sigmoid', [graph.op('Mul', [x, graph.scalar(factor)])])]);

const silu: Activation = (graph, x) => graph.op('Mul', [x, graph.op('Sigmoid', [x])]);

/** One function per `hidden_act`. */
export const activations: Readonly<Record<string, Activation>> = {
  silu,
  swish: silu,
  // Written as PyTorch exports it: ONNX Runtime makes one operator of these nodes and no others.
  gelu: (graph, x) => {
    const erf = graph.op('Erf', [graph.op('Div', [x, graph.scalar(Math.SQRT2)])]);
    const gate = graph.op('Add', [erf, graph.scalar(1)]);
    return graph.op('Mul', [graph.op('Mul', [x, graph.scalar(0.5)]), gate]);
  },
  gelu_new: tanhGelu,
  gelu_pytorch_tanh: tanhGelu,
  gelu_fast: tanhGelu,
  quick_gelu: sigmoidGelu(1.702),
  tanh: (graph, x) => graph.op('Tanh', [x]),
  relu: (graph, x) => graph.op('Relu', [x]),
  relu2: (graph, x) => {
    const positive = graph.op('Relu', [x]);
    return graph.op('Mul', [positive, positive]);
  },
  relu6: (graph, x) => graph.op('Clip', [x, graph.scalar(0), graph.scalar(6)]),
  leaky_relu: (graph, x) => graph.op('LeakyRelu', [x], { alpha: float(0.01) }),
};

/**
 * Emits an activation of {@link activations}.
 * @throws Error of a name that was to be refused on opening
 */
export function emitActivation(graph: GraphBuilder, name: string, x: Value): Value {
  const activation = activations[name];
  if (activation === undefined) {
    throw new Error(`unknown activation ${name}, which was to be refused on opening`);
  }
  return activation(graph, x);
}

export const xieluTensors = (curve: Xielu | undefined): LazyTensor[] =>
  curve === undefined ? [] : [curve.positive, curve.negative, curve.beta, curve.epsilon];

/** Sizes shared by every feed-forward sublayer of a model. */
export interface FeedforwardShape {
  readonly hiddenSize: number;
  readonly norm: NormStyle;
  /** Factor on the branch. */
  readonly residualScale: number;
  /** Factor on what the activation is applied to. */
  readonly gateScale: number;
  readonly activation: string;
  readonly gated: boolean;
  /** Whether rows of gate and up take turns where one matrix holds both. */
  readonly takesTurns: boolean;
  /** Whether up stands before gate there. */
  readonly upFirst: boolean;
  /**
   * Bounds gate ≤ limit and |up| ≤ limit; with an alpha, (up + 1) · gate · σ(alpha · gate) instead of
   * activation(gate) · up (gpt-oss, arXiv 2508.10925).
   */
  readonly clamped: { readonly alpha?: number; readonly limit: number } | undefined;
}

/** Weights of one feed-forward sublayer. */
export interface FeedforwardWeights extends Branch {
  /** [gate, up], or one matrix of both; up alone where nothing gates it. */
  readonly gateUp: readonly Linear[];
  readonly down: Linear;
  /** Of what `down` reads. */
  readonly innerNorm?: Norm;
  readonly curve?: Xielu;
  /** How many standard deviations above their mean gates are closed. */
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
 * Emits hidden + down(activation(gate(x)) · up(x)) with x = norm(input), hidden and input
 * [batch, sequence, hiddenSize] (GLU variants, arXiv 2002.05202); without a gate
 * hidden + down(activation(up(x))). The input is another than hidden where branches run in parallel.
 */
export function emitFeedforward(
  graph: GraphBuilder,
  shape: FeedforwardShape,
  weights: FeedforwardWeights,
  hidden: Value,
  input = hidden,
): Value {
  const { norm, residualScale, hiddenSize } = shape;
  const normed = emitBranchInput(graph, norm, input, weights);
  const rows = graph.op('Reshape', [normed, graph.ints([-1, hiddenSize])]);
  const branch = graph.op('Reshape', [
    emitDown(graph, shape, weights, rows),
    graph.op('Shape', [hidden]),
  ]);
  return emitResidual(graph, norm, residualScale, hidden, branch, weights);
}

/** Emits the whole feed-forward of rows x [rows, hiddenSize], without its outer norms. */
export function emitDown(
  graph: GraphBuilder,
  shape: FeedforwardShape,
  weights: Omit<FeedforwardWeights, keyof Branch>,
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
  const beta = emitWeight(graph, constants.beta);
  const epsilon = emitWeight(graph, constants.epsilon);
  const softplus = (tensor: LazyTensor): Value => graph.op('Softplus', [emitWeight(graph, tensor)]);
  const above = graph.op('Mul', [softplus(positive), graph.op('Mul', [x, x])]);
  const exponential = graph.op('Exp', [graph.op('Min', [x, epsilon])]);
  const curve = graph.op('Sub', [graph.op('Sub', [exponential, graph.scalar(1)]), x]);
  const below = graph.op('Mul', [graph.op('Add', [softplus(negative), beta]), curve]);
  const isAbove = graph.op('Greater', [x, graph.scalar(0)]);
  const bent = graph.op('Where', [isAbove, above, below]);
  return graph.op('Add', [bent, graph.op('Mul', [x, beta])]);
}
