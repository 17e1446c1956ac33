import { extname } from 'node:path';
import { withRegularFile } from '../../regular-file';
import type { LayeredModel } from '../../models/layered-model';
import { AnsweredIds } from '../../models/model-input';
import { UserError } from '../../user-error';
import type { Tokenizer } from '../tokenizer';
import { checkVocabulary } from '../text-tokens';
import { targetDelimiter } from './task-example';
import type { Example, Pair } from './task-example';
import { say, counted } from '../../message';
import { parseJsonText } from '../../parse-json';
import { targetStartId } from '../../models/example';

/** Maximum size of the first line in bytes. */
const firstBytes = 1 << 20;

/** True if the model is an encoder–decoder and the .jsonl file has source–target rows instead of texts. */
export async function holdsPairs(
  file: string,
  model: Pick<LayeredModel, 'inputs'>,
): Promise<boolean> {
  if (targetStartId(model) === undefined || extname(file).toLowerCase() !== '.jsonl') {
    return false;
  }
  const row = await firstRow(file);
  return typeof row === 'object' && row !== null && !('text' in row);
}

/** First row, or undefined if it is not JSON; reading all rows reports the error. */
async function firstRow(file: string): Promise<unknown> {
  const start = await withRegularFile(file, async ({ handle, size }) => {
    const data = Buffer.alloc(Math.min(firstBytes, size));
    const { bytesRead } = await handle.read(data, 0, data.length, 0);
    return data.toString('utf8', 0, bytesRead);
  });
  try {
    return parseJsonText(start.trimStart().split('\n')[0] ?? '');
  } catch {
    return undefined;
  }
}

/** Model and file for encoding examples; the file is named in errors. */
interface AnswersOptions {
  readonly model: Pick<LayeredModel, 'summary' | 'inputs'>;
  readonly file: string;
  /** Maximum tokens of question and answer in total; of each in encoder–decoder models. */
  readonly most: number;
}

/** Tokens of a context and its continuation. */
interface EncodedPair {
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
        : say`The continuation is empty after tokenization.`,
      {
        file,
        field: JSON.stringify(continuation.slice(0, 40)),
        remedy: say`Add a context and a continuation that are not empty.`,
      },
    );
  }
}

/**
 * Encodes an example with its first correct answer for training: as one text, or as source and target with the
 * tokenizer's special tokens, as transformers creates labels (`text_target`).
 * @throws UserError if the answer has no tokens or too many.
 */
export function encodeAnswer(
  tokenizer: Tokenizer,
  example: Example,
  { model, file, most }: AnswersOptions,
): AnsweredIds {
  const pair = rightPair(example);
  if (targetStartId(model) === undefined) {
    const { ids, tokens } = encodePair(tokenizer, pair, { model, file, most });
    return new AnsweredIds(ids, ids.length - tokens);
  }
  const source = tokenizer.encode(pair.context).slice(-most);
  // The decoder reads its start token before the target.
  const target = tokenizer.encode(pair.continuation.trim()).slice(0, most - 1);
  const ids = Int32Array.of(...source, ...target);
  checkVocabulary(ids, model, tokenizer.file);
  if (source.length === 0 || target.length === 0) {
    throw new UserError('pair-empty', say`The source or the target has no token.`, {
      file,
      field: JSON.stringify(pair.context.slice(0, 40)),
      remedy: say`Add a source and a target that are not empty.`,
    });
  }
  return new AnsweredIds(ids, source.length);
}

function rightPair(example: Example): Pair {
  switch (example.kind) {
    case 'multiple-choice':
      return example.pairs[example.answer] ?? none();
    case 'last-word':
      return example.pairs[0] ?? none();
    case 'exact-match': {
      const { prompt, targets } = example;
      return { context: prompt, continuation: `${targetDelimiter}${targets[0] ?? ''}` };
    }
  }
}

function none(): never {
  throw new Error('an example without its answer');
}
