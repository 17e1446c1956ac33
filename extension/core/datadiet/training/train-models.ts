import * as v from 'valibot';
import type { Dataset } from '../../data/datasets/dataset';
import type { TaskRunner } from '../../distribute/with-workers';
import { readMessage } from '../../distribute/work-item';
import type { TaskJob } from '../../jobs/child-task';
import type { JobContext } from '../../jobs/job';
import { writeDocument, writeText } from '../../jobs/write-document';
import { splitsFingerprint, openSplits } from '../subsets/selection';
import { measureAccuracy, allExamples } from '../scores/predictions';
import { openProxy } from './proxy-model';
import type { ProxyModel } from './proxy-model';
import { RunFolder } from './run-folder';
import { seedWorkItem, seedRequestSchema, seedSetup } from './seed-setup';
import { engineFor, shareSeeds } from './side-by-side';
import type { SeedSharing } from './side-by-side';
import { probeRun, stepsPerEpoch, trainRun } from './training-run';
import type { TrainRequest } from './training-settings';
import { say } from '../../message';
import type { Message } from '../../message';
import { parseJsonText } from '../../parse-json';
import { readSmallText, withRegularFile } from '../../regular-file';

const runSchema = v.object({
  seed: v.number(),
  steps: v.number(),
  /** Accuracies, 0 to 1. */
  trainAccuracy: v.number(),
  testAccuracy: v.number(),
  /** Seconds per step since the last start. */
  secondsPerStep: v.number(),
});
type TrainedRun = v.InferOutput<typeof runSchema>;

/** Schema of a trained seed from another process: run and checkpoint. */
const trainedSchema = v.object({ run: runSchema, weights: v.instance(Uint8Array) });
interface Trained {
  readonly run: TrainedRun;
  readonly weights: Uint8Array;
}

export interface TrainResult {
  readonly runs: readonly Omit<TrainedRun, 'secondsPerStep'>[];
  readonly secondsPerStep: number;
}

/** Request with its open dataset and model. */
interface Training {
  readonly request: TrainRequest;
  readonly dataset: Dataset;
  readonly testSet: Dataset;
  readonly proxy: ProxyModel;
  readonly folder: RunFolder;
  readonly steps: number;
}

/**
 * Opens the data and model of a request.
 * @param folderOf returns the folder for a job identity
 */
export async function openTraining(
  request: TrainRequest,
  warn: (message: Message) => void,
  folderOf: (identity: object) => Promise<RunFolder>,
): Promise<Training> {
  const { data, options, test, proxy: model, epochs, training } = request;
  const { train: dataset, test: testSet, warnings } = await openSplits(data, options, test);
  warnings.forEach(warn);
  const proxy = await openProxy(model, dataset);
  const identity = {
    data: dataset.fingerprint,
    test: testSet.fingerprint,
    model,
    epochs,
    training,
  };
  const folder = await folderOf(identity);
  return {
    request,
    dataset,
    testSet,
    proxy,
    folder,
    steps: epochs * stepsPerEpoch(dataset.size, training),
  };
}

/**
 * Trains a model with several seeds, in separate processes if available and faster. Saves weights after every epoch as
 * seed-N.safetensors. Resumes an interrupted job with the same request.
 */
export async function trainModels(
  request: TrainRequest,
  job: JobContext<unknown>,
  sharing?: SeedSharing,
): Promise<TrainResult> {
  const started = performance.now();
  const warn = (message: Message): void => {
    job.warn(message);
  };
  const training = await openTraining(request, warn, async (identity) =>
    RunFolder.open(request.out, identity, 'refuse'),
  );
  const openSeconds = (performance.now() - started) / 1000;
  const { seeds } = request;
  const { steps, proxy } = training;
  await trainAside(training, job, sharing, openSeconds);
  const runs: TrainedRun[] = [];
  for (let seed = 0; seed < seeds; seed++) {
    const stage = say`Training ${proxy.name}, seed ${seed}`;
    const progress: TaskJob['progress'] = ({ done, unit }) => {
      job.progress({ stage, done: seed * steps + done, total: seeds * steps, unit });
    };
    runs.push(await trainSeed(training, seed, { cancellation: job.cancellation, progress }));
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

/** Trains missing seeds on workers if that saves time. Results and weights are saved in the folder. */
async function trainAside(
  training: Training,
  job: JobContext<unknown>,
  sharing: SeedSharing | undefined,
  openSeconds: number,
): Promise<void> {
  const { request, dataset, testSet, folder, steps, proxy } = training;
  const missing: number[] = [];
  for (let seed = 0; seed < request.seeds; seed++) {
    if ((await readRun(folder.file(resultFile(seed)))) === undefined) {
      missing.push(seed);
    }
  }
  const engine = await engineFor(sharing, runRequest(training, 0), missing.length, openSeconds);
  if (engine === undefined || sharing === undefined) {
    return;
  }
  const { epochs } = request;
  const fingerprint = splitsFingerprint(dataset, testSet);
  const seeds = {
    setup: await seedSetup(
      request,
      { kind: 'train', epochs },
      { fingerprint, folder: folder.path, version: sharing.version },
    ),
    pieces: missing.map((seed) => seedWorkItem(seed, folder)),
    ...{ result: trainedSchema, home: trainingWork(training), steps },
    stage: say`Training ${proxy.name}`,
    onResult: async ({ run, weights }: Trained, index: number): Promise<void> => {
      const seed = missing[index] ?? 0;
      // Seeds trained by local processes are already in the folder.
      if ((await readRun(folder.file(resultFile(seed)))) === undefined) {
        await writeText(folder.checkpoint(seed), weights);
        await writeDocument(folder.file(resultFile(seed)), run);
      }
    },
  };
  await shareSeeds(seeds, engine, job);
}

/** Task runner for seeds of an open request. */
export const trainingWork = (training: Training): Pick<TaskRunner, 'do' | 'probe'> => ({
  do: async (request, job): Promise<Trained> => {
    const { seed } = readMessage(seedRequestSchema, request, 'The piece');
    const run = await trainSeed(training, seed, job);
    const checkpoint = training.folder.checkpoint(seed);
    const weights = await withRegularFile(checkpoint, async ({ handle }) => handle.readFile());
    return { run, weights: new Uint8Array(weights) };
  },
  probe: async () => probeRun(runRequest(training, 0)),
});

const resultFile = (seed: number): string => `seed-${seed}.json`;

const runRequest = ({ proxy, dataset, steps, request }: Training, seed: number) => ({
  ...{ proxy, dataset, labels: dataset.labels, examples: allExamples(dataset.size) },
  ...{ seed, steps, settings: request.training },
});

/** Trains a seed, or reads its saved result; reports the steps of this seed. */
async function trainSeed(training: Training, seed: number, job: TaskJob): Promise<TrainedRun> {
  const { proxy, dataset, testSet, folder, steps } = training;
  const result = folder.file(resultFile(seed));
  const done = await readRun(result);
  if (done !== undefined) {
    return done;
  }
  const {
    trainer,
    seconds,
    steps: made,
  } = await trainRun(runRequest(training, seed), {
    cancellation: job.cancellation,
    checkpoint: folder.checkpoint(seed),
    step: (step) => {
      job.progress({ stage: say`Training`, done: step, total: steps, unit: 'steps' });
    },
  });
  try {
    const accuracy = async (on: Dataset): Promise<number> =>
      measureAccuracy(trainer, proxy, on, job.cancellation);
    const trained = {
      seed,
      steps: trainer.steps,
      trainAccuracy: await accuracy(dataset),
      testAccuracy: await accuracy(testSet),
      secondsPerStep: seconds / Math.max(1, made),
    };
    await writeDocument(result, trained);
    return trained;
  } finally {
    await trainer.dispose();
  }
}

async function readRun(path: string): Promise<TrainedRun | undefined> {
  const text = await readSmallText(path).catch(() => undefined);
  if (text === undefined) {
    return undefined;
  }
  try {
    return v.parse(runSchema, parseJsonText(text));
  } catch {
    // Incomplete after a power loss; the run's checkpoint still exists.
    return undefined;
  }
}
