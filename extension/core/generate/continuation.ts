import { dirname, join } from 'node:path';
import { isGguf, isOnnx } from '../checkpoints/model-folder';
import { readJsonObject } from '../data/tokenizer-settings';
import type { Tokenizer } from '../data/tokenizer';
import { checkpoint } from '../jobs/job';
import type { Cancellation } from '../jobs/job';
import type { LayeredModel } from '../models/layered-model';
import type { Decoder } from './decoder';
import { say } from '../message';
import { targetStartId } from '../models/example';

/** Generation settings from a model's configuration. */
export interface WritingRules {
  /** End-of-text tokens. They are not yielded. */
  readonly ends: ReadonlySet<number>;
  /** Tokens that are never generated. */
  readonly never: readonly number[];
  /** Decoder start token of encoder–decoder models. */
  readonly first?: number;
}

/** Options of {@link continuation}. */
export interface ContinuationOptions extends WritingRules {
  /** Returns the next token's id from its logits, [vocabulary]. */
  readonly choose: (logits: Float32Array) => number;
  readonly cancellation: Cancellation;
}

/** Selected token with its logits, [vocabulary]. */
export interface ChosenToken {
  readonly id: number;
  readonly logits: Float32Array;
}

/** Yields the tokens that follow a prompt, each as soon as it is selected. */
export async function* continuation(
  decoder: Decoder,
  prompt: Int32Array,
  { ends, never, first, choose, cancellation }: ContinuationOptions,
): AsyncGenerator<ChosenToken, undefined> {
  let unread = prompt;
  for (let forced = first; ; forced = undefined) {
    const logits = await decoder.read(unread);
    await checkpoint(cancellation);
    for (const id of never) {
      logits[id] = Number.NEGATIVE_INFINITY;
    }
    const next = forced ?? choose(logits);
    if (ends.has(next)) {
      return undefined;
    }
    yield { id: next, logits };
    unread = Int32Array.of(next);
  }
}

/** Number of prompt tokens decoded together with the generated text. */
const seamTokens = 4;

/**
 * Returns a function that decodes the tokens after a prompt. SentencePiece drops the leading space of a first word, so
 * the last prompt tokens are included.
 */
export function createTextDecoder(
  tokenizer: Tokenizer,
  prompt: Int32Array | readonly number[],
): (ids: readonly number[]) => string {
  const seam = [...prompt.slice(-seamTokens)];
  const before = tokenizer.decode(seam);
  return (ids) => {
    const whole = tokenizer.decode([...seam, ...ids]);
    return whole.startsWith(before) ? whole.slice(before.length) : tokenizer.decode(ids);
  };
}

const numbersIn = (field: unknown): number[] =>
  [field].flat().filter((id): id is number => typeof id === 'number');

/**
 * Reads `eos_token_id` from generation_config.json or config.json and the tokenizer's end-of-text token; for
 * encoder–decoder models also `forced_bos_token_id` and the single-token entries of `bad_words_ids`.
 */
export async function writingRules(
  { summary: { path }, inputs }: Pick<LayeredModel, 'summary' | 'inputs'>,
  tokenizer: Tokenizer,
): Promise<WritingRules> {
  const ends = new Set(tokenizer.endToken === undefined ? [] : [tokenizer.endToken]);
  if (isGguf(path)) {
    return { ends, never: [] };
  }
  const folder = isOnnx(path) ? dirname(path) : path;
  const never: number[] = [];
  let first: number | undefined;
  for (const name of ['config.json', 'generation_config.json']) {
    const config = await readJsonObject(join(folder, name), say`Correct the file.`);
    for (const id of numbersIn(config?.['eos_token_id'])) {
      ends.add(id);
    }
    if (targetStartId({ inputs }) !== undefined) {
      [first] = [...numbersIn(config?.['forced_bos_token_id']), first];
      const words: unknown[] = [config?.['bad_words_ids']].flat();
      never.push(
        ...words.filter((word) => Array.isArray(word) && word.length === 1).flatMap(numbersIn),
      );
    }
  }
  return { ends, never, ...(first === undefined ? {} : { first }) };
}
