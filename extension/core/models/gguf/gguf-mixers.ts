import type { DeltaNames } from '../parts/mixers/delta-rule';
import type { MixerForm } from '../parts/mixers/mixer-form';
import { keyValueHeadCount } from './gguf-blocks';
import type { GgufKeys } from './gguf-keys';
import type { GgufTraits } from './gguf-traits';
import { say } from '../../message';

const gatedDelta: DeltaNames = {
  inputs: 'separate',
  queryKeyValue: ['attn_qkv'],
  gate: ['attn_gate'],
  rate: 'ssm_beta',
  decay: ['ssm_alpha'],
  convolutions: ['ssm_conv1d'],
  decayFactors: 'ssm_a',
  decayBiases: 'ssm_dt.bias',
  norm: 'ssm_norm',
  output: 'ssm_out',
};

/** The gated delta rule as llama.cpp stores it (conversion/qwen.py, src/models/qwen35.cpp). */
export function asGatedDelta(usual: MixerForm): MixerForm {
  return usual.kind === 'delta-rule'
    ? { ...usual, names: gatedDelta, takesTurns: true, storesFactors: true }
    : usual;
}

/** Flags of blocks with a mixer, or else of how many blocks the last has attention. */
export const mixerFlags = 'attention.recurrent_layers';
const attentionInterval = 'full_attention_interval';
const usualInterval = 4;

/**
 * Whether each block has a mixer instead of attention; undefined for a family without any.
 * @param keyValueHeads of each block; 0 of those with a mixer, where the file says so
 * @throws UserError naming the key at fault.
 */
export async function readMixed(
  keys: GgufKeys,
  { mixed }: GgufTraits,
  keyValueHeads: readonly number[],
): Promise<readonly boolean[] | undefined> {
  if (mixed === undefined) {
    return undefined;
  }
  if (keys.isList(keyValueHeadCount)) {
    return keyValueHeads.map((heads) => heads === 0);
  }
  const flags = await keys.flags(mixerFlags, keys.number('block_count'));
  return keyValueHeads.map((_, block) =>
    typeof flags === 'object' ? flags[block] === true : isMixedAt(keys, block),
  );
}

function isMixedAt(keys: GgufKeys, block: number): boolean {
  const interval = keys.numberIfPresent(attentionInterval) ?? usualInterval;
  return (block + 1) % interval !== 0;
}

/**
 * Whether each block that stays has a mixer; undefined where the file says so already, or its interval still does.
 * @param mixed of each block of the source
 * @param kept source block of each block that stays
 */
export function keptMixed(
  keys: GgufKeys,
  mixed: readonly boolean[],
  kept: readonly number[],
): readonly boolean[] | undefined {
  const flags = kept.map((source) => mixed[source] === true);
  const isSaid = keys.has(mixerFlags) || keys.isList(keyValueHeadCount);
  return isSaid || flags.every((flag, block) => flag === isMixedAt(keys, block))
    ? undefined
    : flags;
}

/**
 * Refuses a choice of blocks of one kind: llama.cpp ends where it has no attention, or no mixer, to keep a state of.
 * @throws UserError with what may be removed.
 */
export function requireBothKinds(
  keys: GgufKeys,
  mixed: readonly boolean[],
  kept: readonly number[],
): void {
  const kinds = new Set(kept.map((source) => mixed[source]));
  if (kinds.size < new Set(mixed).size) {
    keys.fault(
      keys.name('block_count'),
      kinds.has(true)
        ? say`llama.cpp expects a block with attention in ${keys.architecture} models, and none remains.`
        : say`llama.cpp expects a block with a mixer in ${keys.architecture} models, and none remains.`,
      say`Keep a block of each kind, or prune the Hugging Face folder.`,
    );
  }
}
