import { readFile } from 'node:fs/promises';
import * as v from 'valibot';
import type { Dataset, DatasetOptions } from '../data/datasets/dataset';
import type { JobContext } from '../jobs/job';
import { writeDocument } from '../jobs/write-document';
import { openSplits } from './open-splits';
import { accuracyOf, allExamples } from './predictions';
import { openProxy } from './proxy-model';
import type { ProxyRequest } from './proxy-model';
import { RunFolder } from './run-folder';
import { stepsPerEpoch, trainRun } from './training-run';
import type { TrainingSettings } from './training-settings';

export interface TrainRequest {
  readonly data: string;
  readonly options: DatasetOptions;
  /** Where the test data lies, if not in the data set. */
  readonly test?: string;
  readonly proxy: ProxyRequest;
  readonly epochs: number;
  /** Runs, with seeds 0, 1, … */
  readonly seeds: number;
  readonly training: TrainingSettings;
  /** Folder for the weights and results of every run. */
  readonly out: string;
}

const runSchema = v.object({
  seed: v.number(),
  steps: v.number(),
  /** Shares, 0 to 1. */
  trainAccuracy: v.number(),
  testAccuracy: v.number(),
  /** Of the steps that were made without interruption until the end. */
  secondsPerStep: v.number(),
});
type TrainedRun = v.InferOutput<typeof runSchema>;

export interface TrainResult {
  readonly runs: readonly Omit<TrainedRun, 'secondsPerStep'>[];
  readonly secondsPerStep: number;
}

/**
 * Trains a model from several seeds. Weights are saved after every epoch as seed-N.safetensors; started
 * again with the same request, it goes on where it was.
 */
export async function trainModels(
  request: TrainRequest,
  job: JobContext<unknown>,
): Promise<TrainResult> {
  const { out, data, options, test, proxy: model, epochs, seeds, training } = request;
  const { train: dataset, test: testSet, warnings } = await openSplits(data, options, test);
  warnings.forEach((warning) => {
    job.warn(warning);
  });
  const proxy = await openProxy(model, dataset);
  const identity = {
    data: dataset.fingerprint,
    test: testSet.fingerprint,
    model,
    epochs,
    training,
  };
  const folder = await RunFolder.open(out, identity, 'refuse');
  const examples = allExamples(dataset.size);
  const steps = epochs * stepsPerEpoch(examples.length, training);
  const runs: TrainedRun[] = [];
  for (let seed = 0; seed < seeds; seed++) {
    const result = folder.file(`seed-${seed}.json`);
    const done = await readRun(result);
    if (done !== undefined) {
      runs.push(done);
      continue;
    }
    const { labels } = dataset;
    const run = { proxy, dataset, labels, examples, seed, steps, settings: training };
    const {
      trainer,
      seconds,
      steps: made,
    } = await trainRun(run, {
      cancellation: job.cancellation,
      checkpoint: folder.checkpoint(seed),
      step: (step) => {
        const stage = `Training ${proxy.name}, seed ${seed}`;
        job.progress({ stage, done: seed * steps + step, total: seeds * steps, unit: 'steps' });
      },
    });
    try {
      const accuracy = async (on: Dataset): Promise<number> =>
        accuracyOf(trainer, proxy, on, job.cancellation);
      const trained = {
        seed,
        steps: trainer.steps,
        trainAccuracy: await accuracy(dataset),
        testAccuracy: await accuracy(testSet),
        secondsPerStep: seconds / Math.max(1, made),
      };
      await writeDocument(result, trained);
      runs.push(trained);
    } finally {
      await trainer.dispose();
    }
  }
  const secondsPerStep =
    runs.reduce((sum, run) => sum + run.secondsPerStep, 0) / Math.max(1, runs.length);
  return {
    runs: runs.map(({ seed, steps: made, trainAccuracy, testAccuracy }) => ({
      seed,
      steps: made,
      trainAccuracy,
      testAccuracy,
    })),
    secondsPerStep,
  };
}

async function readRun(path: string): Promise<TrainedRun | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) {
    return undefined;
  }
  try {
    return v.parse(runSchema, JSON.parse(text));
  } catch {
    // Half-written by a machine that lost power: the run's checkpoint is still there.
    return undefined;
  }
}
