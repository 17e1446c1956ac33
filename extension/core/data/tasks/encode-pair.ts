import type { LayeredModel } from '../../models/layered-model';
import { UserError } from '../../user-error';
import type { Tokenizer } from '../tokenizer';
import { checkVocabulary } from '../vocabulary';
import type { Pair } from './task-example';
import { counted, say } from '../../message';
import { targetStartId } from '../../models/example';

/** A context and its continuation as tokens. */
export interface EncodedPair {
  readonly ids: Int32Array;
  /** Of the continuation, at the end. */
  readonly tokens: number;
}

interface EncodingOptions {
  readonly model: Pick<LayeredModel, 'summary' | 'inputs'>;
  /** Most tokens of both, or of each where the model reads source and target; the context is cut at its beginning. */
  readonly most: number;
  /** Where the pair is from, for errors. */
  readonly file: string;
}

/**
 * Tokens of a pair as lm-evaluation-harness' `_encode_pair` has them: blanks at the context's end belong to the
 * continuation, which is encoded by itself where it is a target of its own.
 * @throws UserError where the continuation has no token, or too many.
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
      tokens >= most
        ? say`The continuation has ${counted(tokens, 'token')}, more than the model reads.`
        : say`The continuation has no token of its own after the context.`,
      {
        file,
        field: JSON.stringify(continuation.slice(0, 40)),
        remedy: say`Give a context and a continuation that are not empty.`,
      },
    );
  }
}
