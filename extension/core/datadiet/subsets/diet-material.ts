import { basename } from 'node:path';
import * as v from 'valibot';
import type { Dataset } from '../../data/datasets/dataset';
import type { TaskRunner } from '../../distribute/with-workers';
import { readMessage } from '../../distribute/work-item';
import type { TaskJob } from '../../jobs/child-task';
import { flipLabels, openSplits } from './selection';
import type { NoisyLabels } from './selection';
import { measureAccuracy, allExamples } from '../scores/predictions';
import { openProxy } from '../training/proxy-model';
import type { ProxyModel } from '../training/proxy-model';
import type { RunFolder } from '../training/run-folder';
import { seedRequestSchema } from '../training/seed-setup';
import type { SeedWorkItem } from '../training/seed-setup';
import type { FitRequest, TrainingSettings } from '../training/training-settings';
import { probeRun, trainRun } from '../training/training-run';
import type { RunRequest } from '../training/training-run';
import { say } from '../../message';
import type { Message } from '../../message';

/** Opened data and model of a request. */
export interface Material {
  readonly train: Dataset;
  readonly testSet: Dataset;
  /** Fingerprint of the opened dataset, including a held-out part. */
  readonly fingerprint: string;
  readonly noisy: NoisyLabels;
  readonly proxy: ProxyModel;
  readonly training: TrainingSettings;
}

/** Training on a subset of examples, and the data for evaluation. */
export interface Fit {
  readonly examples: Int32Array;
  readonly seed: number;
  readonly steps: number;
  /** File to which the training is saved after every epoch. */
  readonly checkpoint: string;
  /** Held-out training examples with current labels; the test data if absent. */
  readonly validation?: Int32Array;
}

/** Schema of a training result from another process. */
export const fitResultSchema = v.object({ accuracy: v.number(), seconds: v.number() });

/** Result of a training. */
export interface FitResult {
  /** Accuracy, 0 to 1. */
  readonly accuracy: number;
  /** Seconds of the training steps. */
  readonly seconds: number;
}

export async function openMaterial(
  { data, options, test, proxy, training, noise }: FitRequest,
  warn: (message: Message) => void,
): Promise<Material> {
  const { train, test: testSet, fingerprint, warnings } = await openSplits(data, options, test);
  warnings.forEach(warn);
  const noisy =
    noise === undefined
      ? { labels: train.labels, flipped: new Uint8Array(train.size) }
      : flipLabels(train.labels, train.classNames.length, noise.rate, noise.seed);
  const model = await openProxy(proxy, train);
  return { train, testSet, fingerprint, noisy, proxy: model, training };
}

export function fitRunRequest(
  { proxy, train, noisy, training }: Material,
  { examples, seed, steps }: Fit,
): RunRequest {
  const { labels } = noisy;
  return { proxy, dataset: train, labels, examples, seed, steps, settings: training };
}

/** Trains on a subset and evaluates the model. */
export async function fitModel(material: Material, fit: Fit, job: TaskJob): Promise<FitResult> {
  const { proxy, train, testSet, noisy } = material;
  const { steps, checkpoint, validation } = fit;
  const { trainer, seconds } = await trainRun(fitRunRequest(material, fit), {
    cancellation: job.cancellation,
    checkpoint,
    step: (done) => {
      job.progress({ stage: say`Training`, done, total: steps, unit: 'steps' });
    },
  });
  const [on, examined] =
    validation === undefined
      ? [testSet, { labels: testSet.labels, examples: allExamples(testSet.size) }]
      : [train, { labels: noisy.labels, examples: validation }];
  try {
    const accuracy = await measureAccuracy(trainer, proxy, on, job.cancellation, examined);
    return { accuracy, seconds };
  } finally {
    await trainer.dispose();
  }
}

/** Creates the work item of a training. */
export const fitWorkItem = ({
  examples,
  seed,
  steps,
  checkpoint,
  validation,
}: Fit): SeedWorkItem => ({
  request: {
    ...{ kind: 'fit', examples, seed, steps, checkpoint: basename(checkpoint) },
    validation,
  },
  checkpoint,
});

/** Creates a task runner for trainings on opened data, with checkpoints in a folder. */
export const fitWork = (
  material: Material,
  folder: RunFolder,
): Pick<TaskRunner, 'do' | 'probe'> => ({
  do: async (asked, job): Promise<FitResult> => {
    const request = readMessage(seedRequestSchema, asked, 'The piece');
    if (request.kind !== 'fit') {
      throw new Error('The piece says no examples to train on.');
    }
    const { examples, seed, steps, checkpoint, validation } = request;
    const fit = { examples, seed, steps, checkpoint: folder.file(checkpoint) };
    return fitModel(material, validation === undefined ? fit : { ...fit, validation }, job);
  },
  probe: async () => {
    const examples = allExamples(material.train.size);
    return probeRun(
      fitRunRequest(material, { ...{ examples, seed: 0, steps: 0 }, checkpoint: '' }),
    );
  },
});
