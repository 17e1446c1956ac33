import { keyValueHeadCount } from './gguf-blocks';
import type { GgufBlocks } from './gguf-blocks';
import type { GgufKeys } from './gguf-keys';
import type { GgufTraits } from './gguf-traits';

/** Flags of blocks with a mixer, or else of how many blocks the last has attention. */
export const mixerFlags = 'attention.recurrent_layers';
export const attentionInterval = 'full_attention_interval';
const defaultInterval = 4;

/** Values of `layer_types` for blocks with attention, with an MLP only and with experts only. */
const attends = 'full_attention';
const dense = 'mlp';
const sparse = 'moe';

/**
 * `layer_types` of a family with mixers; undefined for others.
 * @throws UserError naming the key at fault.
 */
export async function readMixed(
  keys: GgufKeys,
  { mixed, hasSingles = false }: GgufTraits,
  { blockKeyValueHeads, blockInnerSizes }: GgufBlocks,
): Promise<readonly string[] | undefined> {
  if (mixed === undefined) {
    return undefined;
  }
  if (hasSingles) {
    const second = (keys.numberIfPresent('expert_count') ?? 0) > 0 ? sparse : dense;
    return blockKeyValueHeads.map((heads, block) =>
      blockInnerSizes[block] !== 0 ? second : heads === 0 ? mixed : attends,
    );
  }
  if (keys.isList(keyValueHeadCount)) {
    return blockKeyValueHeads.map((heads) => (heads === 0 ? mixed : attends));
  }
  const flags = await keys.flags(mixerFlags, keys.blockCount());
  return blockKeyValueHeads.map((_, block) =>
    (typeof flags === 'object' ? flags[block] === true : isMixedAt(keys, block)) ? mixed : attends,
  );
}

function isMixedAt(keys: GgufKeys, block: number): boolean {
  const interval = keys.numberIfPresent(attentionInterval) ?? defaultInterval;
  return (block + 1) % interval !== 0;
}

/**
 * Flag of each remaining block: true if it has an SSM or linear-attention layer. Returns undefined
 * if the source already stores a list or its interval is still correct.
 * @param types `layer_types` of the source
 * @param kept source block of each remaining block
 */
export function remainingMixerFlags(
  keys: GgufKeys,
  types: readonly string[],
  kept: readonly number[],
): readonly boolean[] | undefined {
  const flags = kept.map((source) => types[source] !== attends);
  const isSaid = keys.has(mixerFlags) || keys.isList(keyValueHeadCount);
  return isSaid || flags.every((flag, block) => flag === isMixedAt(keys, block))
    ? undefined
    : flags;
}
