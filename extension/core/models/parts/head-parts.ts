import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { ConfigFields } from '../transformer/model-config';
import { partTensors } from '../transformer/part-tensors';
import { emitNorm } from './norm';
import { emitWeight } from './weight';
import type { FindAttentionPart } from './attention-part';

/** Bound on the absolute values of queries, keys and values. */
export const clippedHeads: FindAttentionPart<(config: ConfigFields) => number | undefined> = (
  boundOf,
  { config },
) => {
  const bound = boundOf(config);
  if (bound === undefined) {
    return undefined;
  }
  return {
    dependsOnHeads: false,
    projected: (graph, { query, key, value, ...others }) => {
      const clip = (x: Value): Value =>
        graph.op('Clip', [x, graph.scalar(-bound), graph.scalar(bound)]);
      return { ...others, query: clip(query), key: clip(key), value: clip(value) };
    },
  };
};

/** A norm of the concatenated outputs of the heads (BitNet, arXiv 2504.12285). */
export const innerNorm: FindAttentionPart<string> = (
  name,
  { tensors, prefix, shape: { numHeads, headDim } },
) => {
  const gain = tensors.norm(`${prefix}${name}`, numHeads * headDim);
  return {
    tensors: partTensors(gain),
    dependsOnHeads: true,
    joined: (graph, outputs, { shape }) => emitNorm(graph, shape.norm, outputs, gain),
  };
};

interface QueryValueBiasNames {
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

interface ValueConvolutionNames {
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

interface HashedNames {
  /** Number of hashes. */
  readonly count: (config: ConfigFields) => number;
}

/** Attention by the expected share of equal hashes of queries and keys (YOSO, arXiv 2111.09714). */
export const hashedAttention: FindAttentionPart<HashedNames> = ({ count }, { config }) => ({
  dependsOnHeads: false,
  heads: (graph, { query, key, value }) => ({
    query: emitUnit(graph, query),
    key: emitUnit(graph, key),
    value,
  }),
  probabilities: (graph, scores, mask) => emitAgreement(graph, count(config), scores, mask),
  attended: emitUnit,
});

const emitUnit = (graph: GraphBuilder, x: Value): Value =>
  graph.op('LpNormalization', [x], { axis: -1, p: 2 });

/** Emits (1 − acos(cosine) / π) ^ hashes, and 0 where masked. */
function emitAgreement(
  graph: GraphBuilder,
  hashes: number,
  cosines: Value,
  mask: Value | undefined,
): Value {
  const angles = graph.op('Acos', [graph.op('Clip', [cosines, graph.scalar(-1), graph.scalar(1)])]);
  const near = graph.op('Sub', [graph.scalar(1), graph.op('Div', [angles, graph.scalar(Math.PI)])]);
  const shares = graph.op('Pow', [near, graph.scalar(hashes)]);
  return mask === undefined
    ? shares
    : graph.op('Where', [graph.op('Less', [mask, graph.scalar(0)]), graph.scalar(0), shares]);
}
