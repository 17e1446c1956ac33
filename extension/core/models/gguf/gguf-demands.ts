import type { GgufHeader } from '../../checkpoints/gguf';
import { UserError } from '../../user-error';
import { furtherBlocksOf, readBlockCount } from './gguf-blocks';
import { ggufFields, queryLatent } from './gguf-fields';
import type { GgufKeys } from './gguf-keys';
import { ggufBlocks, indexer } from './gguf-names';
import { counted, say } from '../../message';
import type { Message } from '../../message';

export const noQueryNorms = (architecture: string, blocks: number): Message =>
  say`llama.cpp reads norms of queries and keys only in ${architecture} models of at least ${counted(blocks, 'block')}.`;

export const noneUnturned = (architecture: string): Message =>
  say`llama.cpp expects a block without a rotary embedding in ${architecture} models, and none remains.`;

export const tiedHead = (architecture: string): Message =>
  say`llama.cpp takes the embedding of ${architecture} models as their head. This model has a head of its own.`;

export const choosesNone = (architecture: string, block: number): Message =>
  say`llama.cpp expects the first block of ${architecture} models to choose tokens, and block ${block} takes the choice of the one before.`;

/**
 * Whether each block that stays chooses tokens: as a list says, or by its tensors where there is none. llama.cpp
 * would otherwise take a list of its own, by the numbers of the blocks (src/models/glm-dsa.cpp).
 * @param key of a list that says of each block whether it chooses
 * @param kept source block of each block that stays
 */
export async function keptChoosing(
  keys: GgufKeys,
  key: string,
  tensors: GgufHeader['tensors'],
  kept: readonly number[],
): Promise<readonly boolean[]> {
  const flags = await keys.flags(key, readBlockCount(keys), furtherBlocksOf(keys));
  const names = new Set(tensors.map(({ name }) => name));
  return kept.map((source) =>
    typeof flags === 'object'
      ? flags[source] === true
      : names.has(`${ggufBlocks}.${source}.${indexer.key}.weight`),
  );
}

/** Refuses a choice of blocks whose first takes the choice of tokens of one that is gone. */
export async function requireChoosing(
  keys: GgufKeys,
  key: string,
  tensors: GgufHeader['tensors'],
  kept: readonly number[],
): Promise<void> {
  const [choosesFirst] = await keptChoosing(keys, key, tensors, kept);
  if (choosesFirst === false) {
    keys.fault(
      keys.name(key),
      choosesNone(keys.architecture, kept[0] ?? 0),
      say`Keep a block in front that chooses tokens.`,
    );
  }
}

/** A number of blocks with which llama.cpp reads queries without a latent if the vocabulary is this one. */
const [plainBlocks, plainVocabulary] = [48, 128_256] as const;

/** Whether llama.cpp reads queries without a latent, which it tells by the number of blocks (src/models/deepseek2.cpp). */
export const readsPlainQueries = (
  counts: readonly number[],
  blocks: number,
  vocabulary: number | undefined,
): boolean => counts.includes(blocks) || (blocks === plainBlocks && vocabulary === plainVocabulary);

/** Key of what turns scores of experts into weights, and its numbers. */
export const gatingKey = 'expert_gating_func';
export const softmax = 1;
export const sigmoid = 2;

/** Sizes by which llama.cpp tells files of GLM-4.7-Flash, which leave that key out (src/models/deepseek2.cpp). */
const flash = { architecture: 'deepseek2', blocks: [47, 48], vocabulary: 154_880 } as const;

/** What turns scores of experts into weights; undefined where the file is silent, and its architecture tells. */
export function gatingOf(keys: GgufKeys): number | undefined {
  const isFlash =
    keys.architecture === flash.architecture &&
    flash.blocks.some((count) => count === readBlockCount(keys)) &&
    keys.numberIfPresent(ggufFields.vocab_size) === flash.vocabulary;
  return keys.numberIfPresent(gatingKey) ?? (isFlash ? sigmoid : undefined);
}

export const otherQueries = (architecture: string, isPlain: boolean, blocks: number): Message =>
  isPlain
    ? say`llama.cpp reads ${architecture} models without a latent of queries only at some numbers of blocks, not ${blocks}.`
    : say`llama.cpp reads ${architecture} models of ${blocks} blocks without a latent of queries, which this one has.`;

/**
 * Refuses a number of blocks with which llama.cpp would look for other queries.
 * @param counts with which they have no latent
 * @throws UserError with what may be removed.
 */
export function requirePlainQueries(
  keys: GgufKeys,
  counts: readonly number[],
  kept: readonly number[],
): void {
  const isPlain = !keys.has(queryLatent);
  const vocabulary = keys.numberIfPresent(ggufFields.vocab_size);
  if (
    kept.length !== readBlockCount(keys) &&
    readsPlainQueries(counts, kept.length, vocabulary) !== isPlain
  ) {
    keys.fault(
      keys.name(ggufFields.num_hidden_layers),
      otherQueries(keys.architecture, isPlain, kept.length),
      say`Remove another number of blocks.`,
    );
  }
}

/** Whether llama.cpp gives a block a rotary embedding, where the last of `every` blocks has none. */
export function isTurnedAt(every: number | undefined, block: number): boolean {
  return every === undefined || (block + 1) % every !== 0;
}

/**
 * Refuses a choice of blocks where llama.cpp, which goes by their numbers, would rotate others.
 * @param every of so many blocks, the last has none
 * @param needsOne whether llama.cpp ends without a block that has none
 * @throws UserError with what may be removed.
 */
export function requireSameUnturned(
  keys: GgufKeys,
  every: number,
  kept: readonly number[],
  needsOne = false,
): void {
  const moved = kept.findIndex(
    (source, block) => isTurnedAt(every, source) !== isTurnedAt(every, block),
  );
  if (moved >= 0) {
    keys.fault(
      keys.name(ggufFields.num_hidden_layers),
      say`llama.cpp skips the rotary embedding in one block of ${every}: block ${kept[moved] ?? 0} would become block ${moved}, which is of the other kind.`,
      say`Remove the last blocks, or ${every} in a row, or prune the Hugging Face folder.`,
    );
  }
  if (needsOne && kept.length < every) {
    keys.fault(
      keys.name(ggufFields.num_hidden_layers),
      noneUnturned(keys.architecture),
      say`Keep at least ${every} blocks, or prune the Hugging Face folder.`,
    );
  }
}

/**
 * Refuses a choice of blocks where llama.cpp, which goes by their numbers, would look for experts in others.
 * @param key of a number n: every n-th block has experts
 * @throws UserError with what may be removed.
 */
export function requireSameSparse(keys: GgufKeys, key: string, kept: readonly number[]): void {
  const every = keys.numberIfPresent(key) ?? 1;
  const isSparse = (block: number): boolean => (block + 1) % every === 0;
  const moved = kept.findIndex((source, block) => isSparse(source) !== isSparse(block));
  if (moved >= 0) {
    keys.fault(
      keys.name(key),
      say`llama.cpp looks for experts in one block of ${every}: block ${kept[moved] ?? 0} would become block ${moved}, which is of the other kind.`,
      say`Remove the last blocks, or ${every} in a row, or prune the Hugging Face folder.`,
    );
  }
}

/**
 * Refuses what llama.cpp multiplies the products of matrices by, as files in NVFP4 and of older conversions of BitNet
 * have it.
 * @param unread names of tensors that the model would leave out
 * @throws UserError naming one of them.
 */
export function refuseScales(unread: readonly string[], file: string): void {
  const scale = unread.find((name) => name.endsWith('.scale'));
  if (scale !== undefined) {
    throw new UserError(say`Scale tensors beside weights are not supported.`, {
      file,
      field: scale,
      remedy: say`Use the Hugging Face folder of the model.`,
    });
  }
}
