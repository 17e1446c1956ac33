import type { LayeredModel } from '../../models/layered-model';
import { UserError } from '../../user-error';
import type { Tokenizer } from '../tokenizer';
import { checkVocabulary } from '../text-tokens';
import type { Pair } from './task-example';
import { counted, say } from '../../message';
import { targetStartId } from '../../models/example';

/** Tokens of a context and its continuation. */
export interface EncodedPair {
  readonly ids: Int32Array;
  /** Number of tokens of the continuation, which is at the end. */
  readonly tokens: number;
}

interface EncodingOptions {
  readonly model: Pick<LayeredModel, 'summary' | 'inputs'>;
  /** Maximum tokens in total, or of each part in encoder–decoder models. The context is truncated at the start. */
  readonly most: number;
  /** Source of the pair, for errors. */
  readonly file: string;
}

/**
 * Encodes a pair like `_encode_pair` of lm-evaluation-harness: trailing whitespace of the context moves to the
 * continuation. For encoder–decoder models, the continuation is encoded separately.
 * @throws UserError if the continuation has no tokens or too many.
 */
export function encodePair(
  tokenizer: Tokenizer,
  { context, continuation }: Pair,
  { model, most, file }: EncodingOptions,
): EncodedPair {
  const before = context.trimEnd();
  const blanks = context.slice(before.length);
  const isEmpty = before === '';
  if (targetStartId(model) !== undefined) {
    const source = tokenizer.encode(before).slice(-most);
    const target = tokenizer.encodePlain(blanks + continuation);
    const ids = Int32Array.of(...source, ...target);
    checkVocabulary(ids, model, tokenizer.file);
    requireTokens(target.length, source.length + target.length, most, file, blanks + continuation);
    return { ids, tokens: target.length };
  }
  const whole = context + continuation;
  const all = isEmpty ? tokenizer.encodePlain(whole) : tokenizer.encode(whole);
  const prefix = isEmpty ? tokenizer.prefixToken : undefined;
  const known = isEmpty ? 0 : tokenizer.encode(before).length;
  const ids = prefix === undefined ? all : Int32Array.of(prefix, ...all);
  const tokens = all.length - known;
  checkVocabulary(ids, model, tokenizer.file);
  requireTokens(tokens, ids.length, most, file, blanks + continuation);
  return { ids: ids.slice(-most), tokens };
}

function requireTokens(
  tokens: number,
  all: number,
  most: number,
  file: string,
  continuation: string,
): void {
  if (tokens < 1 || tokens >= all || tokens >= most) {
    throw new UserError(
      tokens >= most ? 'continuation-too-long' : 'continuation-empty',
      tokens >= most
        ? say`The continuation has ${counted(tokens, 'token')}, more than the model reads.`
        : say`The continuation adds no token to the context.`,
      {
        file,
        field: JSON.stringify(continuation.slice(0, 40)),
        remedy: say`Add a context and a continuation that are not empty.`,
      },
    );
  }
}
