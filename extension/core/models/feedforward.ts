import type { LazyTensor } from '../checkpoints/lazy-tensor';
import { float } from '../onnx/graph-builder';
import type { GraphBuilder, Value } from '../onnx/graph-builder';
import { emitLinear, emitRmsNorm } from './linear';
import type { Linear } from './linear';

type Activation = (graph: GraphBuilder, x: Value) => Value;

/** x · Φ(x), with Φ by its tanh approximation (arXiv 1606.08415). */
const tanhGelu: Activation = (graph, x) => {
  const cube = graph.op('Mul', [graph.op('Mul', [x, x]), x]);
  const inner = graph.op('Add', [x, graph.op('Mul', [cube, graph.scalar(0.044715)])]);
  const tanh = graph.op('Tanh', [graph.op('Mul', [inner, graph.scalar(Math.sqrt(2 / Math.PI))])]);
  const gate = graph.op('Add', [tanh, graph.scalar(1)]);
  return graph.op('Mul', [graph.op('Mul', [x, graph.scalar(0.5)]), gate]);
};

const silu: Activation = (graph, x) => graph.op('Mul', [x, graph.op('Sigmoid', [x])]);

/** One function per `hidden_act`. */
export const activations: Readonly<Record<string, Activation>> = {
  silu,
  swish: silu,
  gelu: (graph, x) => {
    const erf = graph.op('Erf', [graph.op('Mul', [x, graph.scalar(Math.SQRT1_2)])]);
    const gate = graph.op('Add', [erf, graph.scalar(1)]);
    return graph.op('Mul', [graph.op('Mul', [x, graph.scalar(0.5)]), gate]);
  },
  gelu_new: tanhGelu,
  gelu_pytorch_tanh: tanhGelu,
  relu: (graph, x) => graph.op('Relu', [x]),
  leaky_relu: (graph, x) => graph.op('LeakyRelu', [x], { alpha: float(0.01) }),
};

/** Sizes shared by every feed-forward sublayer of a model. */
export interface FeedforwardShape {
  readonly hiddenSize: number;
  readonly normEpsilon: number;
  readonly activation: string;
}

/** Weights of one gated feed-forward sublayer. */
export interface FeedforwardWeights {
  readonly norm: LazyTensor;
  /** [gate, up], or one matrix of both. */
  readonly gateUp: readonly Linear[];
  readonly down: Linear;
}

/**
 * Emits hidden + down(activation(gate(x)) · up(x)) with x = norm(hidden), hidden
 * [batch, sequence, hiddenSize] (GLU variants, arXiv 2002.05202).
 */
export function emitFeedforward(
  graph: GraphBuilder,
  shape: FeedforwardShape,
  weights: FeedforwardWeights,
  hidden: Value,
): Value {
  const normed = emitRmsNorm(graph, hidden, weights.norm, shape.normEpsilon);
  const rows = graph.op('Reshape', [normed, graph.ints([-1, shape.hiddenSize])]);
  const projected = weights.gateUp.map((linear) => emitLinear(graph, linear, rows));
  const [gate = '', up = ''] =
    projected.length === 2 ? projected : graph.ops('Split', projected, 2, { axis: -1 });
  const activate = activations[shape.activation];
  if (activate === undefined) {
    throw new Error(`unknown activation ${shape.activation}, which was to be refused on opening`);
  }
  const inner = graph.op('Mul', [activate(graph, gate), up]);
  const branch = graph.op('Reshape', [
    emitLinear(graph, weights.down, inner),
    graph.op('Shape', [hidden]),
  ]);
  return graph.op('Add', [hidden, branch]);
}
