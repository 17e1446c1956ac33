import { mkdir } from 'node:fs/promises';
import { openDataset } from '../../data/datasets/open-dataset';
import type { OpenTaskRunner, TaskRunner } from '../../distribute/with-workers';
import { readMessage } from '../../distribute/work-item';
import { say } from '../../message';
import { UserError } from '../../user-error';
import { openScoring, scoringWork } from '../scores/score-dataset';
import { fitWork, openMaterial } from '../subsets/diet-material';
import { splitsFingerprint, openSplits } from '../subsets/selection';
import { RunFolder } from './run-folder';
import { restoreRequest, seedDataSchema } from './seed-setup';
import type { SeedWork } from './seed-setup';
import type { FitRequest } from './training-settings';
import { openTraining, trainingWork } from './train-models';

/** Opens the data and model with which a worker trains seeds. */
export const openSeedRunner: OpenTaskRunner = async (data, means) => {
  const shared = readMessage(seedDataSchema, data, 'What pieces share');
  const request = restoreRequest(shared, means);
  await mkdir(means.jobFolder, { recursive: true });
  const folder = RunFolder.of(means.jobFolder);
  const { work, fingerprint } = await open(request, shared.work, folder);
  if (fingerprint !== shared.fingerprint) {
    throw new UserError('dataset-changed', say`The dataset changed while it was read.`, {
      file: request.data,
      remedy: say`Run the same command again.`,
    });
  }
  return { ...work, dispose: async () => Promise.resolve() };
};

/** Opens a task runner for a request; returns it with the fingerprint of its training and test data. */
async function open(
  request: FitRequest,
  work: SeedWork,
  folder: RunFolder,
): Promise<{ work: Pick<TaskRunner, 'do' | 'probe'>; fingerprint: string }> {
  const { data, options, test } = request;
  // The requesting process has already reported the warnings.
  const silent = (): void => undefined;
  switch (work.kind) {
    case 'score': {
      const dataset =
        work.part === 'whole'
          ? await openDataset(data, options)
          : (await openSplits(data, options, test)).train;
      const whole = { ...request, ...work, runs: 1, folder: folder.path };
      const scoring = await openScoring(whole, dataset, async () => Promise.resolve(folder));
      return { work: scoringWork(scoring), fingerprint: dataset.fingerprint };
    }
    case 'train': {
      const whole = { ...request, ...work, seeds: 1, out: folder.path };
      const training = await openTraining(whole, silent, async () => Promise.resolve(folder));
      const { dataset, testSet } = training;
      return { work: trainingWork(training), fingerprint: splitsFingerprint(dataset, testSet) };
    }
    case 'fit': {
      const material = await openMaterial(request, silent);
      const { train, testSet } = material;
      return { work: fitWork(material, folder), fingerprint: splitsFingerprint(train, testSet) };
    }
  }
}
