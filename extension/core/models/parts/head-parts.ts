import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { ConfigFields } from '../transformer/config-layout';
import { emitNorm } from './norm';
import { emitWeight } from './weight';
import type { FindAttentionPart } from './attention-part';

export interface QueryValueBiasNames {
  readonly query: string;
  readonly value: string;
}

/** Biases of queries and values, if one projection without bias computes queries, keys and values (DeBERTa). */
export const queryValueBiases: FindAttentionPart<QueryValueBiasNames> = (
  names,
  { tensors, prefix, shape: { numHeads, headDim } },
) => {
  const bias = (name: string): LazyTensor => tensors.take(`${prefix}${name}`, [numHeads * headDim]);
  const [query, value] = [bias(names.query), bias(names.value)];
  return {
    tensors: [query, value],
    dependsOnHeads: true,
    projected: (graph, rows) => ({
      query: graph.op('Add', [rows.query, emitWeight(graph, query)]),
      key: rows.key,
      value: graph.op('Add', [rows.value, emitWeight(graph, value)]),
    }),
  };
};

/** A norm of each head's values, without weights (Gemma 3n). */
export const normedValues: FindAttentionPart = () => ({
  dependsOnHeads: false,
  heads: (graph, heads, { shape }) => ({
    ...heads,
    value: emitNorm(graph, shape.norm, heads.value, {}),
  }),
});

export interface ValueConvolutionNames {
  /** Module with a weight [heads, 1, width, 1]. */
  readonly name: string;
  readonly width: (config: ConfigFields) => number;
}

/** A convolution over the values of each head, added to its output (Nyströmformer, arXiv 2102.03902). */
export const valueConvolution: FindAttentionPart<ValueConvolutionNames> = (
  names,
  { config, tensors, prefix, shape: { numHeads } },
) => {
  const width = names.width(config);
  const kernel = tensors.take(`${prefix}${names.name}.weight`, [numHeads, 1, width, 1]);
  const padding = Math.trunc(width / 2);
  return {
    tensors: [kernel],
    dependsOnHeads: true,
    attended: (graph, outputs, { value }) =>
      graph.op('Add', [
        outputs,
        graph.op('Conv', [value, emitWeight(graph, kernel)], {
          group: numHeads,
          kernel_shape: [width, 1],
          pads: [padding, 0, padding, 0],
        }),
      ]),
  };
};
