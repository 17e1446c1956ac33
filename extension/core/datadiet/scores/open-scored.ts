import type { Dataset, DatasetOptions } from '../../data/datasets/dataset';
import { openDataset } from '../../data/datasets/open-dataset';
import { UserError } from '../../user-error';
import type { ScoreDocument } from './score-document';
import { counted, say } from '../../message';

/**
 * Opens the dataset of scores with the options it was scored with, unless `asked` overrides them.
 * @returns dataset and all options it was opened with
 * @throws UserError if it is not the dataset that was scored.
 */
export async function openScored(
  document: ScoreDocument,
  file: string,
  asked: DatasetOptions = {},
): Promise<{ readonly dataset: Dataset; readonly options: DatasetOptions }> {
  const options = { ...document.dataset?.options, ...asked };
  const dataset = await openDataset(file, options);
  const { examples } = document;
  if (dataset.size !== examples) {
    throw new UserError(
      'score-count-mismatch',
      say`It has ${counted(dataset.size, 'example')}, but the file has ${counted(examples, 'score')}.`,
      {
        file,
        remedy: say`Choose the dataset that was scored.`,
      },
    );
  }
  const fingerprint = document.dataset?.fingerprint;
  if (fingerprint !== undefined && fingerprint !== dataset.fingerprint) {
    throw new UserError('scores-other-dataset', say`This dataset doesn't match the scores.`, {
      file,
      remedy: say`Choose the dataset that was scored, or score this one again.`,
    });
  }
  return { dataset, options };
}
