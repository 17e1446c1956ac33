import { kvCacheBytes } from '../models/model-summary';
import { isMatrix, sum, sumKnown, sumTotals } from './costs';
import type {
  BlockDescription,
  CacheEstimate,
  Component,
  LoraEstimate,
  MemoryEstimate,
  PartDescription,
  SublayerDescription,
  TuningEstimate,
} from './model-description';

/** Bits of a weight in each dtype. */
const weightBits = { float32: 32, bfloat16: 16, int8: 8, int4: 4 } as const;
const cacheBits = { float32: 32, bfloat16: 16, int8: 8 } as const;
const thousand = 1000;
const loraRanks = [8, 16, 64] as const;
/** Weights and gradients of two bytes; of four the weights, momentum and variance of Adam. */
const adamBytes = 16;
const bfloat16Bytes = 2;
const fourBitBytes = 0.5;

/** Shares of the model's parameters by purpose, the largest first. */
export function modelComposition(
  blocks: readonly BlockDescription[],
  parts: readonly PartDescription[],
): Component[] {
  const groups = new Map<Component['kind'], (SublayerDescription | PartDescription)[]>();
  const add = (kind: Component['kind'], item: SublayerDescription | PartDescription): void => {
    groups.set(kind, [...(groups.get(kind) ?? []), item]);
  };
  blocks.forEach(({ sublayers }) => {
    sublayers.forEach((sublayer) => {
      add(sublayer.kind, sublayer);
    });
  });
  parts.forEach((part) => {
    add(part.part, part);
  });
  return [...groups]
    .map(([kind, items]) => ({
      kind,
      tensors: sum(items, ({ tensors }) => tensors.length),
      ...sumTotals(items),
    }))
    .sort((a, b) => b.parameters - a.parameters);
}

export function estimateMemory(parameters: number): MemoryEstimate[] {
  return Object.entries(weightBits).map(([dtype, bits]) => ({
    dtype: dtype as keyof typeof weightBits,
    bytes: (parameters * bits) / 8,
  }));
}

/** KV cache of all sublayers; empty if one of them is unknown. */
export function estimateCache(sublayers: readonly SublayerDescription[]): CacheEstimate[] {
  const elements = sumOverCaches(sublayers, thousand, (sublayer) => sublayer.kvElementsPerToken);
  return elements === undefined || elements === 0
    ? []
    : Object.entries(cacheBits).map(([dtype, bits]) => ({
        dtype: dtype as keyof typeof cacheBits,
        bytesPerThousandTokens: (elements * bits) / 8,
      }));
}

/** Bytes of keys and values at `tokens` of context, as stored; undefined if those of a sublayer are unknown. */
export const describedCacheBytes = (
  { blocks }: { readonly blocks: readonly BlockDescription[] },
  tokens: number,
): number | undefined =>
  sumOverCaches(
    blocks.flatMap(({ sublayers }) => sublayers),
    tokens,
    ({ kvBytesPerToken }) => kvBytesPerToken,
  );

/** Sum over the tokens that each sublayer keeps, which a sliding window limits. */
const sumOverCaches = (
  sublayers: readonly SublayerDescription[],
  tokens: number,
  perToken: (sublayer: SublayerDescription) => number | undefined,
): number | undefined =>
  sumKnown(
    sublayers.filter(({ kind }) => kind !== 'other'),
    (sublayer) => {
      const kvBytesPerToken = perToken(sublayer);
      return (
        kvBytesPerToken && kvCacheBytes({ kvBytesPerToken, kvWindow: sublayer.kvWindow }, tokens)
      );
    },
  );

export function estimateFineTuning(
  parameters: number,
  sublayers: readonly SublayerDescription[],
): TuningEstimate {
  const linear = sublayers.flatMap(({ tensors }) => tensors).filter(isMatrix);
  // Leading dimensions of a tensor with more than two are those of a stack of matrices.
  const widths = sum(linear, ({ shape }) => {
    const [input = 0, output = 0, ...stack] = [...shape].reverse();
    return (input + output) * stack.reduce((product, size) => product * size, 1);
  });
  return {
    fullBytes: adamBytes * parameters,
    lora: loraRanks.map((rank): LoraEstimate => {
      const trained = rank * widths;
      return {
        rank,
        parameters: trained,
        bytes: bfloat16Bytes * parameters + adamBytes * trained,
        quantizedBytes: fourBitBytes * parameters + adamBytes * trained,
      };
    }),
  };
}
