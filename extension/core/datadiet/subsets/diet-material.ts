import { basename } from 'node:path';
import * as v from 'valibot';
import type { Dataset } from '../../data/datasets/dataset';
import type { PieceDoer } from '../../distribute/piece-doer';
import { readMessage } from '../../distribute/read-message';
import type { TaskJob } from '../../jobs/child-task';
import { flipLabels } from './label-noise';
import type { NoisyLabels } from './label-noise';
import { openSplits } from './open-splits';
import { accuracyOf, allExamples } from '../scores/predictions';
import { openProxy } from '../training/proxy-model';
import type { ProxyModel } from '../training/proxy-model';
import type { RunFolder } from '../training/run-folder';
import { seedRequestSchema } from '../training/seed-setup';
import type { SeedPiece } from '../training/seed-setup';
import type { FitRequest } from '../training/train-request';
import { probeRun, trainRun } from '../training/training-run';
import type { RunRequest } from '../training/training-run';
import type { TrainingSettings } from '../training/training-settings';
import { say } from '../../message';
import type { Message } from '../../message';

/** A request, open. */
export interface Material {
  readonly train: Dataset;
  readonly testSet: Dataset;
  /** Of all that was opened, whether a part was held out of it or not. */
  readonly fingerprint: string;
  readonly noisy: NoisyLabels;
  readonly proxy: ProxyModel;
  readonly training: TrainingSettings;
}

/** One training on some examples, and what the model is examined on. */
export interface Fit {
  readonly examples: Int32Array;
  readonly seed: number;
  readonly steps: number;
  /** File that the training is saved to after every epoch. */
  readonly checkpoint: string;
  /** Examples held out of the training data, with labels as they are; the test data if absent. */
  readonly validation?: Int32Array;
}

/** What came of it, as another process sends it. */
export const fitResultSchema = v.object({ accuracy: v.number(), seconds: v.number() });

/** What came of it. */
export interface FitResult {
  /** Share of the examples that the model is right about, 0 to 1. */
  readonly accuracy: number;
  /** Of its steps. */
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

export function runOfFit(
  { proxy, train, noisy, training }: Material,
  { examples, seed, steps }: Fit,
): RunRequest {
  const { labels } = noisy;
  return { proxy, dataset: train, labels, examples, seed, steps, settings: training };
}

/** Trains on some examples, and examines the model. */
export async function fitModel(material: Material, fit: Fit, job: TaskJob): Promise<FitResult> {
  const { proxy, train, testSet, noisy } = material;
  const { steps, checkpoint, validation } = fit;
  const { trainer, seconds } = await trainRun(runOfFit(material, fit), {
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
    const accuracy = await accuracyOf(trainer, proxy, on, job.cancellation, examined);
    return { accuracy, seconds };
  } finally {
    await trainer.dispose();
  }
}

/** A training as others are asked for it. */
export const pieceOfFit = ({ examples, seed, steps, checkpoint, validation }: Fit): SeedPiece => ({
  request: {
    ...{ kind: 'fit', examples, seed, steps, checkpoint: basename(checkpoint) },
    validation,
  },
  checkpoint,
});

/** Does trainings on material that is open, whose checkpoints lie in a folder. */
export const fitWork = (
  material: Material,
  folder: RunFolder,
): Pick<PieceDoer, 'do' | 'probe'> => ({
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
    return probeRun(runOfFit(material, { ...{ examples, seed: 0, steps: 0 }, checkpoint: '' }));
  },
});
