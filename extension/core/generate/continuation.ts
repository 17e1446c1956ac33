import { dirname, join } from 'node:path';
import { isGguf, isOnnx } from '../checkpoints/model-folder';
import { readJsonObject } from '../data/json-object';
import type { Tokenizer } from '../data/tokenizer';
import { checkpoint } from '../jobs/job';
import type { Cancellation } from '../jobs/job';
import type { LayeredModel } from '../models/layered-model';
import type { Decoder } from './decoder';
import { say } from '../message';
import { targetStartId } from '../models/example';

/** What a model's configuration says of the tokens that it writes. */
export interface WritingRules {
  /** Tokens that end a text; they are not given. */
  readonly ends: ReadonlySet<number>;
  /** Tokens that it never writes. */
  readonly never: readonly number[];
  /** The token that every target begins with, where the model reads source and target. */
  readonly first?: number;
}

/** How a prompt goes on. */
export interface ContinuationOptions extends WritingRules {
  /** Chooses a token by its logits, [vocabulary]. */
  readonly choose: (logits: Float32Array) => number;
  readonly cancellation: Cancellation;
}

/** A token that was chosen, and the logits that it was chosen by, [vocabulary]. */
export interface ChosenToken {
  readonly id: number;
  readonly logits: Float32Array;
}

/** The tokens that follow a prompt, each as soon as it is chosen. */
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

/** Tokens of the prompt that are decoded with what follows them. */
const seamTokens = 4;

/** Decodes what follows a prompt: SentencePiece leaves out the space in front of a first word. */
export function textBehind(
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
 * `eos_token_id` of generation_config.json or config.json, and the tokenizer's token of a text's end; of a model that
 * reads source and target, `forced_bos_token_id` and those `bad_words_ids` that are of one token.
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
