import type { ConfigFields } from '../transformer/config-layout';
import { emitNorm } from './norm';
import { emitWeight } from './weight';
import type { FindAttentionPart } from './attention-part';

/** Biases of queries and values, if one projection without bias computes queries, keys and values (DeBERTa). */
export const queryValueBiases =
  (names: Readonly<Record<'query' | 'value', string>>): FindAttentionPart =>
  ({ tensors, prefix, shape: { numHeads, headDim } }) => {
    const bias = (name: string) => tensors.take(`${prefix}${name}`, [numHeads * headDim]);
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

/** A convolution over the values of each head, added to its output: [heads, 1, width, 1] (Nyströmformer, arXiv 2102.03902). */
export const valueConvolution =
  (name: string, widthOf: (config: ConfigFields) => number): FindAttentionPart =>
  ({ config, tensors, prefix, shape: { numHeads } }) => {
    const width = widthOf(config);
    const kernel = tensors.take(`${prefix}${name}.weight`, [numHeads, 1, width, 1]);
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
