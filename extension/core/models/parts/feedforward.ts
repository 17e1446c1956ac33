import { float } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { emitLinear } from './linear';
import type { Linear } from './linear';
import { emitBranchInput, emitResidual } from './norm';
import type { Branch, NormStyle } from './norm';

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
  tanh: (graph, x) => graph.op('Tanh', [x]),
  relu: (graph, x) => graph.op('Relu', [x]),
  leaky_relu: (graph, x) => graph.op('LeakyRelu', [x], { alpha: float(0.01) }),
};

/** Sizes shared by every feed-forward sublayer of a model. */
export interface FeedforwardShape {
  readonly hiddenSize: number;
  readonly norm: NormStyle;
  /** Factor on the branch. */
  readonly residualScale: number;
  readonly activation: string;
  readonly gated: boolean;
}

/** Weights of one feed-forward sublayer. */
export interface FeedforwardWeights extends Branch {
  /** [gate, up], or one matrix of both; up alone where nothing gates it. */
  readonly gateUp: readonly Linear[];
  readonly down: Linear;
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
  const inner = emitInner(graph, shape, weights, rows);
  const branch = graph.op('Reshape', [
    emitLinear(graph, weights.down, inner),
    graph.op('Shape', [hidden]),
  ]);
  return emitResidual(graph, norm, residualScale, hidden, branch, weights);
}

/** Emits activation(gate(x)) · up(x), or activation(up(x)), of rows x [rows, hiddenSize]. */
export function emitInner(
  graph: GraphBuilder,
  shape: FeedforwardShape,
  weights: Pick<FeedforwardWeights, 'gateUp'>,
  rows: Value,
): Value {
  const activate = activations[shape.activation];
  if (activate === undefined) {
    throw new Error(`unknown activation ${shape.activation}, which was to be refused on opening`);
  }
  const projected = weights.gateUp.map((linear) => emitLinear(graph, linear, rows));
  const [first = ''] = projected;
  if (!shape.gated) {
    return activate(graph, first);
  }
  const [gate = '', up = ''] =
    projected.length === 2 ? projected : graph.ops('Split', projected, 2, { axis: -1 });
  return graph.op('Mul', [activate(graph, gate), up]);
}
