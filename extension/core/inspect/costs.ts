import type { SublayerKind } from '../models/model-summary';
import type { ModelFacts, StoredTensor, Totals } from './model-description';

const cachingKinds: ReadonlySet<SublayerKind> = new Set<SublayerKind>([
  'attention',
  'cross-attention',
  'parallel',
]);
/** The projections of keys and of values, in Hugging Face's and llama.cpp's names. */
const keyOrValue = /(^|[._])(k_proj|v_proj|attn_k|attn_v|key|value|wk|wv|k_lin|v_lin)\.weight$/;
/** Fused projections: keys and values are the part of the width that queries don't use. */
const fused = /(qkv_proj|c_attn|query_key_value|wqkv|attn_qkv|qkv)\.weight$/i;

export function sum<T>(items: Iterable<T>, value: (item: T) => number): number {
  let total = 0;
  for (const item of items) {
    total += value(item);
  }
  return total;
}

/** Sum, or undefined if one of the values is unknown. */
export function sumKnown<T>(
  items: Iterable<T>,
  value: (item: T) => number | undefined,
): number | undefined {
  let total = 0;
  for (const item of items) {
    const one = value(item);
    if (one === undefined) {
      return undefined;
    }
    total += one;
  }
  return total;
}

export function sumTotals(items: readonly Totals[]): Totals {
  return {
    parameters: sum(items, ({ parameters }) => parameters),
    bytes: sum(items, ({ bytes }) => bytes),
  };
}

/**
 * Cached elements of a sublayer per token: the widths of its keys and values. 0 without a cache; undefined if the
 * tensors don't determine it.
 */
export function cacheElements(
  kind: SublayerKind,
  tensors: readonly StoredTensor[],
  { heads, headSize, hiddenSize }: ModelFacts,
): number | undefined {
  if (!cachingKinds.has(kind)) {
    return kind === 'other' ? undefined : 0;
  }
  const separate = tensors.filter(({ name, shape }) => keyOrValue.test(name) && shape.length === 2);
  if (separate.length === 2) {
    return sum(separate, ({ shape: [width = 0] }) => width);
  }
  const joined = tensors.find(({ name }) => fused.test(name));
  if (
    joined === undefined ||
    heads === undefined ||
    headSize === undefined ||
    hiddenSize === undefined
  ) {
    return undefined;
  }
  const elements = joined.parameters / hiddenSize - heads * headSize;
  return Number.isInteger(elements) && elements > 0 ? elements : undefined;
}

/**
 * Two per matrix weight that every token uses; for experts, the share of routed tokens. Undefined if the number of
 * experts per token is unknown.
 */
export function flopsPerToken(
  kind: SublayerKind,
  tensors: readonly StoredTensor[],
  facts: ModelFacts,
): number | undefined {
  return sumKnown(tensors, (tensor) => {
    if (!isMatrix(tensor)) {
      return 0;
    }
    const share = activeShare(kind, tensor, facts);
    return share === undefined ? undefined : 2 * share * tensor.parameters;
  });
}

/** Share of a tensor's parameters that a token uses. */
export function activeShare(
  kind: SublayerKind,
  { name }: StoredTensor,
  { experts, expertsPerToken }: ModelFacts,
): number | undefined {
  if (kind !== 'expert' || !isRoutedExpert(name)) {
    return 1;
  }
  return experts === undefined || expertsPerToken === undefined
    ? undefined
    : expertsPerToken / experts;
}

/** True for tensors of routed experts, as opposed to shared experts. */
function isRoutedExpert(name: string): boolean {
  return /(^|\.)experts?\.|_exps\b/.test(name) && !name.includes('shared');
}

export function isMatrix({ shape }: StoredTensor): boolean {
  return shape.length > 1;
}
