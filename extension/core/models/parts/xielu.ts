import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { FindMlpPart } from './mlp-part';
import { emitWeight } from './weight';

/** Weights of the activation xIELU (arXiv 2411.13010). */
interface Xielu {
  /** [1] each, before softplus. */
  readonly positive: LazyTensor;
  readonly negative: LazyTensor;
  /** [] */
  readonly beta: LazyTensor;
  /** []: upper bound of the exponent. */
  readonly epsilon: LazyTensor;
}

/** The activation xIELU, with weights below a module of the block. */
export const xielu: FindMlpPart<string> = (module, { tensors, prefix }) => {
  const weight = (name: string, shape: readonly number[]): LazyTensor =>
    tensors.take(`${prefix}${module}.${name}`, shape);
  const curve: Xielu = {
    positive: weight('alpha_p', [1]),
    negative: weight('alpha_n', [1]),
    beta: weight('beta', []),
    epsilon: weight('eps', []),
  };
  return {
    tensors: Object.values(curve) as LazyTensor[],
    dependsOnChannels: false,
    activation: (graph, x) => emitXielu(graph, x, curve),
  };
};

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
