import type { LayeredModel } from '../models/layered-model';
import { UserError } from '../user-error';
import { say } from '../message';

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
