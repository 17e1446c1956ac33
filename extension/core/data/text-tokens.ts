import type { LayeredModel } from '../models/layered-model';
import { UserError } from '../user-error';
import { readText } from './text-file';
import { loadTokenizer } from './tokenizer';
import { checkVocabulary } from './vocabulary';
import { say } from '../message';

/**
 * Token ids of a whole text, .txt, .md or .jsonl, by the model's own tokenizer.
 * @throws UserError when text and model do not fit.
 */
export async function readTokens(
  file: string,
  model: Pick<LayeredModel, 'summary'>,
): Promise<Int32Array> {
  const text = await readText(file);
  if (text.trim() === '') {
    throw new UserError(say`The text is empty.`, { file, remedy: say`Choose another text.` });
  }
  const tokenizer = await loadTokenizer(model.summary.path);
  const ids = tokenizer.encode(text);
  checkVocabulary(ids, model, tokenizer.file);
  return ids;
}
