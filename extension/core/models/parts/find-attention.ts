import type { Architecture } from '../transformer/architecture';
import { attentionNames } from '../transformer/block-parts';
import type { ModelConfig } from '../transformer/model-config';
import type { TensorFinder } from '../transformer/tensor-finder';
import type { AttentionShape, AttentionWeights } from './attention';
import { findAttention } from './branches';
import { findCompressed } from './compressed/find-compressed';
import { findSharedTransformer } from './shared-transformer';

/** A block's attention. */
interface AttentionPlace {
  readonly block: number;
  /** What the names of a block's tensors begin with. */
  readonly placeOf: (block: number) => string;
  /** The earlier block whose keys and values it reads. */
  readonly keysBlock: number | undefined;
  readonly turns: boolean;
}

/** Weights of what a family has for attention in a block. */
export function findAnyAttention(
  family: Architecture,
  config: ModelConfig,
  tensors: TensorFinder,
  { block, placeOf, keysBlock, turns }: AttentionPlace,
  shape: AttentionShape,
): AttentionWeights {
  const { shared, compressed, attention } = family;
  if (shared !== undefined) {
    return findSharedTransformer(shared, config, tensors, placeOf, block, shape);
  }
  if (compressed !== undefined) {
    const own = compressed(config, block);
    return findCompressed(own, attention, tensors, placeOf(block), shape);
  }
  const keys =
    keysBlock === undefined ? undefined : { block: keysBlock, prefix: placeOf(keysBlock) };
  const names = attentionNames(family, turns);
  return findAttention(names, family.biases(config), tensors, placeOf(block), shape, keys);
}
