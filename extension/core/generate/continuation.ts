import { dirname, join } from 'node:path';
import { isGguf, isOnnx } from '../checkpoints/model-folder';
import { readJsonObject } from '../data/json-object';
import type { Tokenizer } from '../data/tokenizer';
import { checkpoint } from '../jobs/job';
import type { Cancellation } from '../jobs/job';
import type { Decoder } from './decoder';
import { say } from '../message';

/** How a prompt goes on. */
export interface ContinuationOptions {
  /** Tokens that end a text; they are not given. */
  readonly ends: ReadonlySet<number>;
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
  { ends, choose, cancellation }: ContinuationOptions,
): AsyncGenerator<ChosenToken, undefined> {
  let unread = prompt;
  for (;;) {
    const logits = await decoder.read(unread);
    await checkpoint(cancellation);
    const next = choose(logits);
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

/** `eos_token_id` of generation_config.json or config.json, and the tokenizer's token of a text's end. */
export async function endTokens(path: string, tokenizer: Tokenizer): Promise<ReadonlySet<number>> {
  const ends = new Set(tokenizer.endToken === undefined ? [] : [tokenizer.endToken]);
  if (isGguf(path)) {
    return ends;
  }
  const folder = isOnnx(path) ? dirname(path) : path;
  for (const name of ['config.json', 'generation_config.json']) {
    const config = await readJsonObject(join(folder, name), say`Correct the file.`);
    for (const id of [config?.['eos_token_id']].flat()) {
      if (typeof id === 'number') {
        ends.add(id);
      }
    }
  }
  return ends;
}
