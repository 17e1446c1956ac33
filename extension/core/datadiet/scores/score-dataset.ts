import type { Dataset } from '../../data/datasets/dataset';
import { openDataset } from '../../data/datasets/open-dataset';
import type { TaskRunner } from '../../distribute/with-workers';
import { readMessage } from '../../distribute/work-item';
import type { TaskJob } from '../../jobs/child-task';
import type { JobContext } from '../../jobs/job';
import type { RecordSink } from './read-dynamics';
import { readRecord, recordEpoch, recordsSchema, writeRecord } from './epoch-record';
import type { EpochRecord } from './epoch-record';
import { GradientNormScorer } from './gradient-norm-scorer';
import { embedExamples } from '../neighbors/embed-examples';
import { flipLabels } from '../subsets/selection';
import { openProxy } from '../training/proxy-model';
import { allExamples } from './predictions';
import { RunFolder } from '../training/run-folder';
import { summarizeRuns } from './run-summary';
import type { ScoreDocument } from './score-document';
import { seedWorkItem, seedRequestSchema, seedSetup } from '../training/seed-setup';
import { engineFor, shareSeeds } from '../training/side-by-side';
import type { SeedSharing } from '../training/side-by-side';
import {
  createTrainer,
  probeRun,
  stepsPerEpoch,
  runThreads,
  trainRun,
} from '../training/training-run';
import { UserError } from '../../user-error';
import type { ScoreRequest, ScoringJob } from './run-summary';
import { say } from '../../message';

/**
 * Opens the model and the folder of a job.
 * @param folderOf returns the folder for a job identity
 */
export async function openScoring(
  request: ScoreRequest,
  dataset: Dataset,
  folderOf: (identity: object) => Promise<RunFolder>,
): Promise<ScoringJob> {
  checkRequest(request);
  const { noise, proxy: model, score, epoch, training } = request;
  const proxy = await openProxy(model, dataset);
  const { labels } =
    noise === undefined
      ? dataset
      : flipLabels(dataset.labels, dataset.classNames.length, noise.rate, noise.seed);
  // Excludes the number of runs, so that more runs can be added to a job.
  const identity = { data: dataset.fingerprint, noise, model, score, epoch, training };
  return { request, dataset, labels, proxy, folder: await folderOf(identity) };
}

function checkRequest({ runs, epoch, score, noise }: ScoreRequest): void {
  const whole = (name: string, value: number, least: number): void => {
    if (!Number.isInteger(value) || value < least) {
      throw new UserError(
        'integer-too-small',
        say`It must be an integer of at least ${least}, not ${value}.`,
        { field: name, remedy: undefined },
      );
    }
  };
  whole('runs', runs, 1);
  whole('epoch', epoch, score === 'forgetting' ? 2 : 0);
  if (noise !== undefined && !(noise.rate > 0 && noise.rate < 1)) {
    throw new UserError('noise-rate-invalid', say`It must be between 0 and 1, not ${noise.rate}.`, {
      field: 'noise',
      remedy: undefined,
    });
  }
}

/**
 * Scores a dataset: trains the proxy with several seeds, evaluates every example after each epoch, and averages over
 * the runs. Keeps finished runs in the request's folder until the job is done.
 * averages over the runs. What finished is kept in the request's folder until all is done.
 */
export async function scoreDataset(
  request: ScoreRequest,
  job: JobContext<unknown>,
  sharing?: SeedSharing,
  sink?: RecordSink,
): Promise<ScoreDocument> {
  const started = performance.now();
  const dataset = await openDataset(request.data, request.options);
  const openSeconds = (performance.now() - started) / 1000;
  dataset.warnings.forEach((warning) => {
    job.warn(warning);
  });
  return scoreOpenDataset(request, dataset, job, { sharing, openSeconds, part: 'whole', sink });
}

/** Execution settings for the runs on an open dataset. */
interface ScoringMeans {
  readonly sharing: SeedSharing | undefined;
  /** Seconds that opening the dataset took. */
  readonly openSeconds: number;
  /** Whole dataset at the request's path, or its training split. */
  readonly part: 'whole' | 'train';
  /** Receives all records; if set, all runs are executed in this process. */
  readonly sink?: RecordSink | undefined;
}

/** Scores an open dataset, or a part of one. */
export async function scoreOpenDataset(
  request: ScoreRequest,
  dataset: Dataset,
  job: JobContext<unknown>,
  { sharing, openSeconds, part, sink }: ScoringMeans,
): Promise<ScoreDocument> {
  const scoring = await openScoring(request, dataset, async (identity) =>
    RunFolder.open(request.folder, identity, 'replace'),
  );
  if (sink === undefined && sharing !== undefined) {
    await scoreAside(scoring, job, sharing, openSeconds, part);
  }
  const runs: (readonly EpochRecord[])[] = [];
  for (let seed = 0; seed < request.runs; seed++) {
    const { cancellation } = job;
    const total = request.runs * runSteps(scoring);
    const progress: TaskJob['progress'] = ({ stage, done, unit }) => {
      job.progress({ stage, done: seed * runSteps(scoring) + done, total, unit });
    };
    runs.push(await scoreRun(scoring, seed, { cancellation, progress }, sink));
  }
  const { embedding } = request;
  const seen =
    embedding === undefined
      ? {}
      : await embedExamples(runRequest(scoring, 0), scoring.folder.checkpoint(0), embedding, job);
  const document = { ...summarizeRuns(scoring, runs), ...seen };
  await request.write?.(document);
  if (request.keepRuns !== true) {
    await scoring.folder.remove();
  }
  return document;
}

/** Executes missing runs on workers if that saves time. Records are saved in the folder. */
async function scoreAside(
  scoring: ScoringJob,
  job: JobContext<unknown>,
  sharing: SeedSharing,
  openSeconds: number,
  part: ScoringMeans['part'],
): Promise<void> {
  const { request, dataset, folder } = scoring;
  const { runs, score, epoch } = request;
  const missing: number[] = [];
  for (let seed = 0; seed < runs; seed++) {
    if ((await readRun(scoring, seed)) === undefined) {
      missing.push(seed);
    }
  }
  const engine = await engineFor(sharing, runRequest(scoring, 0), missing.length, openSeconds);
  if (engine === undefined) {
    return;
  }
  const { fingerprint } = dataset;
  const seeds = {
    setup: await seedSetup(
      request,
      { kind: 'score', part, score, epoch },
      { fingerprint, folder: folder.path, version: sharing.version },
    ),
    pieces: missing.map((seed) => seedWorkItem(seed, folder)),
    ...{ result: recordsSchema, home: scoringWork(scoring), steps: runSteps(scoring) },
    stage: say`Training proxies`,
    onResult: async (records: readonly EpochRecord[], index: number): Promise<void> => {
      const seed = missing[index] ?? 0;
      // Runs executed by local processes are already in the folder.
      if ((await readRun(scoring, seed)) === undefined) {
        await Promise.all(
          recordedEpochs(request).map(async (at, i) => {
            const [record] = records.slice(i, i + 1);
            await (record && writeRecord(folder.record(seed, at), record));
          }),
        );
      }
    },
  };
  await shareSeeds(seeds, engine, job);
}

/** Task runner for seeds of an open scoring job. */
export const scoringWork = (scoring: ScoringJob): Pick<TaskRunner, 'do' | 'probe'> => ({
  do: async (request, job) => {
    const { seed } = readMessage(seedRequestSchema, request, 'The piece');
    return scoreRun(scoring, seed, job);
  },
  probe: async () => probeRun(runRequest(scoring, 0)),
});

/** Epochs after which examples are evaluated. */
const recordedEpochs = ({ epoch }: Pick<ScoreRequest, 'epoch'>): readonly number[] =>
  epoch === 0 ? [0] : Array.from({ length: epoch }, (_, i) => i + 1);

const runSteps = ({ request, dataset }: ScoringJob): number =>
  request.epoch * stepsPerEpoch(dataset.size, request.training);

const runRequest = (scoring: ScoringJob, seed: number) => {
  const { request, dataset, labels, proxy } = scoring;
  const examples = allExamples(dataset.size);
  const settings = request.training;
  return { proxy, dataset, labels, examples, seed, steps: runSteps(scoring), settings };
};

/** Records of all epochs of a finished run. */
async function readRun(
  { request, folder }: ScoringJob,
  seed: number,
): Promise<EpochRecord[] | undefined> {
  const numbers = recordedEpochs(request);
  const found = await Promise.all(
    numbers.map(async (epoch) => readRecord(folder.record(seed, epoch))),
  );
  const records = found.filter((record) => record !== undefined);
  return records.length === numbers.length ? records : undefined;
}

/** Trains one seed, or reads its saved run; returns the records of all epochs. */
async function scoreRun(
  scoring: ScoringJob,
  seed: number,
  job: TaskJob,
  sink?: RecordSink,
): Promise<readonly EpochRecord[]> {
  const { request, dataset, labels, proxy, folder } = scoring;
  const { epoch: epochs, score } = request;
  const savedRun = await readRun(scoring, seed);
  if (savedRun !== undefined) {
    return savedRun;
  }
  const run = runRequest(scoring, seed);
  const gradients =
    score === 'grand'
      ? await GradientNormScorer.create(proxy.untrained(seed), runThreads(run))
      : undefined;
  let started = performance.now();
  const record = async (epoch: number, trainer: Parameters<typeof recordEpoch>[1]) => {
    const wanted = epoch === epochs ? gradients : undefined;
    const onLogits = await sink?.(seed, epoch, labels, dataset.classNames.length);
    const looked = await recordEpoch(
      {
        proxy,
        dataset,
        labels,
        ...(wanted === undefined ? {} : { gradients: wanted }),
        ...(onLogits === undefined ? {} : { onLogits: onLogits.write }),
      },
      trainer,
      job.cancellation,
    );
    await onLogits?.close();
    const now = performance.now();
    await writeRecord(folder.record(seed, epoch), { ...looked, seconds: (now - started) / 1000 });
    started = now;
  };
  try {
    if (epochs === 0) {
      const trainer = await createTrainer(run);
      try {
        await record(0, trainer);
      } finally {
        await trainer.dispose();
      }
    } else {
      const { trainer } = await trainRun(run, {
        cancellation: job.cancellation,
        checkpoint: folder.checkpoint(seed),
        step: (done) => {
          job.progress({ stage: say`Training proxies`, done, total: run.steps, unit: 'steps' });
        },
        epoch: record,
      });
      await trainer.dispose();
    }
  } finally {
    await gradients?.dispose();
  }
  return (await readRun(scoring, seed)) ?? [];
}
