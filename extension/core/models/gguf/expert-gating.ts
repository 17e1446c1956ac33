import { readBlockCount } from './gguf-blocks';
import { ggufFields } from './gguf-fields';
import type { GgufKeys } from './gguf-keys';

/** Key and values for the function from router scores to expert weights. */
export const gatingKey = 'expert_gating_func';
export const softmax = 1;
export const sigmoid = 2;

/** Sizes that identify files of GLM-4.7-Flash, which lack the key (src/models/deepseek2.cpp). */
const flash = { architecture: 'deepseek2', blocks: [47, 48], vocabulary: 154_880 } as const;

/** Returns the gating function; undefined if the file does not say it and the architecture decides. */
export function readGating(keys: GgufKeys): number | undefined {
  const isFlash =
    keys.architecture === flash.architecture &&
    flash.blocks.some((count) => count === readBlockCount(keys)) &&
    keys.numberIfPresent(ggufFields.vocab_size) === flash.vocabulary;
  return keys.numberIfPresent(gatingKey) ?? (isFlash ? sigmoid : undefined);
}
