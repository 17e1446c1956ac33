import type { LayeredModel } from '../models/layered-model';
import { UserError } from '../user-error';
import { readText } from './text-file';
import { loadTokenizer } from './tokenizer';
import type { Tokenizer } from './tokenizer';
import { say } from '../message';

/** Characters per token that few texts exceed, which limits how much of a text is read. */
const longToken = 8;

type Tokenized = Pick<LayeredModel, 'summary'>;

/**
 * Token ids of a .txt, .md or .jsonl text from the model's tokenizer.
 * @param most maximum number of tokens; all by default
 * @throws UserError if text and model don't fit.
 */
export async function readTokens(
  file: string,
  model: Tokenized,
  most?: number,
): Promise<Int32Array> {
  return encodeStart(file, model, (tokenizer, text) =>
    most === undefined ? tokenizer.encode(text) : firstTokens(tokenizer, text, most),
  );
}

/**
 * Concatenated token ids of excerpts spread over a text; of the whole text if it is shorter.
 * @param length tokens per excerpt
 * @throws UserError if text and model don't fit.
 */
export async function readExcerpts(
  file: string,
  model: Tokenized,
  { count, length }: { readonly count: number; readonly length: number },
): Promise<Int32Array> {
  return encodeStart(file, model, (tokenizer, text) => {
    const excerpts = Array.from({ length: count }, (_, i) => {
      const from = Math.floor((i * text.length) / count);
      const part = text.slice(from, Math.floor(((i + 1) * text.length) / count));
      const word = from === 0 ? 0 : part.search(/\s/) + 1;
      return firstTokens(tokenizer, part.slice(word), length);
    });
    return excerpts.every((ids) => ids.length === length)
      ? Int32Array.from(excerpts.flatMap((ids) => [...ids]))
      : firstTokens(tokenizer, text, count * length);
  });
}

/**
 * Checks that the model has an embedding for every token.
 * @throws UserError naming the tokenizer that produced the ids.
 */
export function checkVocabulary(
  ids: Int32Array,
  model: Pick<LayeredModel, 'summary'>,
  tokenizerFile: string,
): void {
  const { vocabularySize, name } = model.summary;
  const outside = ids.find((id) => vocabularySize !== undefined && id >= vocabularySize);
  if (vocabularySize !== undefined && outside !== undefined) {
    throw new UserError(
      'token-outside-vocabulary',
      say`It contains the token id ${outside}, but the vocabulary of ${name} ends at ${vocabularySize - 1}.`,
      {
        file: tokenizerFile,
        remedy: say`The tokenizer doesn't match the model: download both again.`,
      },
    );
  }
}

async function encodeStart(
  file: string,
  model: Tokenized,
  read: (tokenizer: Tokenizer, text: string) => Int32Array,
): Promise<Int32Array> {
  const text = await readText(file);
  if (text.trim() === '') {
    throw new UserError('text-empty', say`The text is empty.`, {
      file,
      remedy: say`Choose another text.`,
    });
  }
  const tokenizer = await loadTokenizer(model.summary.path);
  const ids = read(tokenizer, text);
  checkVocabulary(ids, model, tokenizer.file);
  return ids;
}

function firstTokens(tokenizer: Tokenizer, text: string, most: number): Int32Array {
  const start = tokenizer.encode(text.slice(0, most * longToken));
  // The last tokens may belong to a truncated word, or end the text.
  const isEnough = start.length > most + longToken;
  return (isEnough ? start : tokenizer.encode(text)).slice(0, most);
}
