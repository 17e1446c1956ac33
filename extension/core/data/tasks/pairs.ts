import { extname } from 'node:path';
import { withRegularFile } from '../../regular-file';
import type { LayeredModel } from '../../models/layered-model';
import { AnsweredIds } from '../../models/model-input';
import { UserError } from '../../user-error';
import type { Tokenizer } from '../tokenizer';
import { checkVocabulary } from '../vocabulary';
import { encodePair } from './encode-pair';
import { targetDelimiter } from './task-example';
import type { Example, Pair } from './task-example';
import { say } from '../../message';
import { parseJsonText } from '../../parse-json';
import { targetStartId } from '../../models/example';

/** Bytes that a first line is looked for in. */
const firstBytes = 1 << 20;

/** Whether a model reads source and target, and a .jsonl file has rows of both instead of texts. */
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

/** Undefined where it is no JSON: whoever reads all lines tells which. */
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

/** What examples are encoded for, and where they are from, for errors. */
interface AnswersOptions {
  readonly model: Pick<LayeredModel, 'summary' | 'inputs'>;
  readonly file: string;
  /** Most tokens of question and answer together; of each of them where the model reads source and target. */
  readonly most: number;
}

/**
 * An example with its right answer, the first where several are, as a model is trained on it: one text, or a source and
 * a target with the special tokens that the tokenizer adds to each, as transformers makes labels (`text_target`).
 * @throws UserError where the answer has no token, or too many.
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
  // The decoder reads a token in front of its target.
  const target = tokenizer.encode(pair.continuation.trim()).slice(0, most - 1);
  const ids = Int32Array.of(...source, ...target);
  checkVocabulary(ids, model, tokenizer.file);
  if (source.length === 0 || target.length === 0) {
    throw new UserError(say`The source or the target has no token.`, {
      file,
      field: JSON.stringify(pair.context.slice(0, 40)),
      remedy: say`Give a source and a target that are not empty.`,
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
