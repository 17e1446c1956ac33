import type { GraphBuilder, Value } from '../../../onnx/graph-builder';
import { float } from '../../../onnx/graph-builder';
import type { NodeProto } from '../../../onnx/proto/onnx_pb';
import type { GraphIndex } from '../graph-index';
import { floatAttribute, intAttribute, intsAttribute } from '../graph-index';
import type { ValueShapes } from '../values/value-shapes';

const domain = 'com.microsoft';
/** Projects its input to queries, keys and values by one weight [in, out], and attends. */
export const fusedAttention = `${domain}:Attention`;

/** Attributes with the same meaning in MultiHeadAttention. */
const sharedFloats = ['scale', 'mask_filter_value'] as const;
/** Attributes that MultiHeadAttention doesn't support. */
const unshared = ['do_rotary', 'past_present_share_buffer', 'rotary_embedding_dim'] as const;
/** First opset whose Split and Unsqueeze have sizes and axes as inputs. */
const sizesAsInputs = 13;

/**
 * Reason why a fused attention can't be split into a matmul and an equivalent MultiHeadAttention; undefined if it can.
 * Measured with ONNX Runtime 1.30 and 1.32 with every kind of mask: bit-identical except for sequence start and end
 * masks, which MultiHeadAttention ignores.
 */
export function explainNotSplittable(
  node: NodeProto,
  index: GraphIndex,
  shapes: ValueShapes,
): string | undefined {
  const extra = unshared.find((name) => intAttribute(node, name, 0) !== 0);
  if (extra !== undefined) {
    return `its attention has ${extra}, which MultiHeadAttention has not`;
  }
  const [, , , mask = ''] = node.input;
  if (mask === '') {
    return undefined;
  }
  const rank = shapes.of(mask)?.length;
  if (rank === 2 || rank === 3) {
    return undefined;
  }
  return isSequenceLengths(mask, index)
    ? undefined
    : `its attention is masked by a tensor of ${rank ?? 'unknown'} dimensions, which MultiHeadAttention may read otherwise`;
}

/** True if a mask is the length of each sequence, which exporters compute by counting tokens. */
function isSequenceLengths(mask: string, index: GraphIndex): boolean {
  const producer = index.producers.get(mask);
  switch (producer?.op) {
    case 'Cast':
    case 'Identity':
      return isSequenceLengths(producer.inputs[0] ?? '', index);
    case 'ReduceSum':
      return intAttribute(producer.proto, 'keepdims', 1) === 0;
    default:
      return producer?.op === `${domain}:EmbedLayerNormalization`;
  }
}

/**
 * Emits a fused attention, including its cache, for queries, keys and values concatenated in `projected` [batch,
 * sequence, out].
 */
export function emitSplitAttention(
  graph: GraphBuilder,
  node: NodeProto,
  projected: Value,
  out: number,
): Value[] {
  const [, , bias = '', mask = '', past = '', attentionBias = ''] = node.input;
  const sizes = intsAttribute(node, 'qkv_hidden_sizes') ?? new Array<number>(3).fill(out / 3);
  const asInput = graph.opset >= sizesAsInputs;
  const parts = asInput
    ? graph.ops('Split', [projected, graph.ints(sizes)], 3, { axis: -1 })
    : graph.ops('Split', [projected], 3, { axis: -1, split: sizes });
  const cached = past === '' ? [] : [0, 1].map((side) => gathered(graph, past, side));
  const inputs = [...parts, bias, mask, attentionBias, ...cached];
  const present = node.output[1] ?? '';
  const given = sharedFloats.filter((name) => node.attribute.some((one) => one.name === name));
  const attributes = {
    num_heads: intAttribute(node, 'num_heads', 1),
    unidirectional: intAttribute(node, 'unidirectional', 0),
    ...Object.fromEntries(given.map((name) => [name, float(floatAttribute(node, name, 0))])),
  };
  const count = present === '' ? 1 : 3;
  const [result = '', ...sides] = graph.ops(
    'MultiHeadAttention',
    withoutTrailing(inputs),
    count,
    attributes,
    domain,
  );
  const stacked = sides.map((side) =>
    asInput
      ? graph.op('Unsqueeze', [side, graph.ints([0])])
      : graph.op('Unsqueeze', [side], { axes: [0] }),
  );
  return present === '' ? [result] : [result, graph.op('Concat', stacked, { axis: 0 })];
}

function withoutTrailing(inputs: readonly Value[]): Value[] {
  return inputs.slice(0, inputs.findLastIndex((input) => input !== '') + 1);
}

/** Keys or values of a cache [2, batch, heads, past, headDim]. */
function gathered(graph: GraphBuilder, past: Value, side: number): Value {
  return graph.op('Gather', [past, graph.ints([side], [])]);
}
