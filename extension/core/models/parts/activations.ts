import { float } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';

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
export const sigmoidGelu =
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
  return graph.step(name, () => activation(graph, x));
}
