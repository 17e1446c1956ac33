import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { AttentionPart, FindAttentionPart } from './attention-part';
import { emitLinear } from './linear';
import type { Linear } from './linear';

interface GateNames {
  /** Linear layer that computes the gate from the input of the attention. */
  readonly name: string;
  /** Activation of the gate. Defaults to the sigmoid. */
  readonly activation?: 'Softplus';
  /** True if the gate is one factor per head. */
  readonly byHead?: boolean;
}

/** A gate on the outputs of the heads, computed by a linear layer (arXiv 2505.06708). */
export const outputGate: FindAttentionPart<GateNames> = (
  { name, activation = 'Sigmoid', byHead = false },
  { tensors, prefix, shape: { hiddenSize, numHeads, headDim } },
) => {
  const withLayer = (layer: Linear): AttentionPart => ({
    linears: [layer],
    mapLinears: (map) => withLayer(map(layer)),
    dependsOnHeads: true,
    joined: (graph, outputs, { rows, shape: { valueDim } }) => {
      const factor = graph.op(activation, [emitLinear(graph, layer, rows)]);
      return byHead
        ? emitScaledHeads(graph, outputs, factor, [numHeads, valueDim])
        : graph.op('Mul', [outputs, factor]);
    },
  });
  const rows = byHead ? numHeads : numHeads * headDim;
  return withLayer(tensors.linear(`${prefix}${name}`, rows, hiddenSize, false));
};

/** Emits rows [rows, heads · size] times factors [rows, heads]. */
function emitScaledHeads(
  graph: GraphBuilder,
  outputs: Value,
  factors: Value,
  [heads, size]: readonly [number, number],
): Value {
  const split = graph.op('Reshape', [outputs, graph.ints([-1, heads, size])]);
  const scaled = graph.op('Mul', [split, graph.op('Unsqueeze', [factors, graph.ints([2])])]);
  return graph.op('Reshape', [scaled, graph.ints([-1, heads * size])]);
}

/** A gate on the outputs of the heads whose rows follow each head's queries in one projection (Qwen3-Next). */
export const gateInQuery: FindAttentionPart = (_, { shape: { numHeads, headDim } }) => ({
  dependsOnHeads: true,
  queryRows: 2,
  projected: (graph, rows) => {
    const heads = graph.op('Reshape', [rows.query, graph.ints([-1, numHeads, 2, headDim])]);
    const [query = '', gate = ''] = graph
      .ops('Split', [heads, graph.ints([1, 1])], 2, { axis: 2 })
      .map((part) => graph.op('Reshape', [part, graph.ints([-1, numHeads * headDim])]));
    return { ...rows, query, gate };
  },
  joined: (graph, outputs, { gate = '' }) =>
    graph.op('Mul', [outputs, graph.op('Sigmoid', [gate])]),
});
