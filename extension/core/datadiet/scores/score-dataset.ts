import type { Dataset } from '../../data/datasets/dataset';
import { openDataset } from '../../data/datasets/open-dataset';
import type { TaskJob } from '../../jobs/child-task';
import type { JobContext } from '../../jobs/job';
import type { RecordSink } from './dynamics';
import { readRecord, recordEpoch, writeRecord } from './epoch-record';
import type { EpochRecord } from './epoch-record';
import { GradientNormScorer } from './gradient-norm-scorer';
import { flipLabels } from '../subsets/label-noise';
import { openSplits } from '../subsets/open-splits';
import { openProxy } from '../training/proxy-model';
import { allExamples } from './predictions';
import { RunFolder } from '../training/run-folder';
import { summarizeRuns } from './run-summary';
import type { ScoreDocument } from './score-document';
import { countProcesses, runSideBySide } from '../training/side-by-side';
import type { Processes } from '../training/side-by-side';
import { createTrainer, stepsPerEpoch, threadsOf, trainRun } from '../training/training-run';
import { UserError } from '../../user-error';
import type { ScoreRequest, ScoreSeedRequest, ScoringJob } from './scoring-job';
import { say } from '../../message';

/** Opens the model and the folder of a job. */
async function openScoring(request: ScoreRequest, dataset: Dataset): Promise<ScoringJob> {
  checkRequest(request);
  const { noise, proxy: model, score, epoch, training, folder } = request;
  const proxy = await openProxy(model, dataset);
  const { labels } =
    noise === undefined
      ? dataset
      : flipLabels(dataset.labels, dataset.classNames.length, noise.rate, noise.seed);
  // Not the number of runs: more of them add to those that are there.
  const identity = { data: dataset.fingerprint, noise, model, score, epoch, training };
  return {
    request,
    dataset,
    labels,
    proxy,
    folder: await RunFolder.open(folder, identity, 'replace'),
  };
}

function checkRequest({ runs, epoch, score, noise }: ScoreRequest): void {
  const whole = (name: string, value: number, least: number): void => {
    if (!Number.isInteger(value) || value < least) {
      throw new UserError(say`It takes an integer of at least ${least}, not ${value}.`, {
        field: name,
      });
    }
  };
  whole('runs', runs, 1);
  whole('epoch', epoch, score === 'forgetting' ? 2 : 0);
  if (noise !== undefined && !(noise.rate > 0 && noise.rate < 1)) {
    throw new UserError(say`It must be between 0 and 1, not ${noise.rate}.`, { field: 'noise' });
  }
}

/**
 * Scores a data set: trains the proxy from several seeds, looks at every example after each epoch, and
 * averages over the runs. What finished is kept in the request's folder until all is done.
 */
export async function scoreDataset(
  request: ScoreRequest,
  job: JobContext<unknown>,
  processes?: Processes,
  sink?: RecordSink,
): Promise<ScoreDocument> {
  const started = performance.now();
  const dataset = await openDataset(request.data, request.options);
  const openSeconds = (performance.now() - started) / 1000;
  dataset.warnings.forEach((warning) => {
    job.warn(warning);
  });
  return scoreOpenDataset(request, dataset, job, { processes, openSeconds, part: 'whole', sink });
}

/** How the runs of an open data set are done. */
interface ScoringMeans {
  readonly processes: Processes | undefined;
  /** What opening the data set has taken. */
  readonly openSeconds: number;
  /** Whether it is all that lies at the path of the request, or its training part. */
  readonly part: ScoreSeedRequest['part'];
  /** Gets all records; the runs are then done in this process. */
  readonly sink?: RecordSink | undefined;
}

/** The same for a data set that is open, or a part of one. */
export async function scoreOpenDataset(
  request: ScoreRequest,
  dataset: Dataset,
  job: JobContext<unknown>,
  { processes, openSeconds, part, sink }: ScoringMeans,
): Promise<ScoreDocument> {
  const scoring = await openScoring(request, dataset);
  if (sink === undefined && processes !== undefined) {
    await scoreAside(scoring, job, processes, openSeconds, part);
  }
  const runs: (readonly EpochRecord[])[] = [];
  for (let seed = 0; seed < request.runs; seed++) {
    const { cancellation } = job;
    const total = request.runs * stepsOf(scoring);
    const progress: TaskJob['progress'] = ({ stage, done, unit }) => {
      job.progress({ stage, done: seed * stepsOf(scoring) + done, total, unit });
    };
    runs.push(await scoreRun(scoring, seed, { cancellation, progress }, sink));
  }
  const document = summarizeRuns(scoring, runs);
  await request.write?.(document);
  if (request.keepRuns !== true) {
    await scoring.folder.remove();
  }
  return document;
}

/** Does the runs that are missing side by side, if that pays; their records lie in the folder. */
async function scoreAside(
  scoring: ScoringJob,
  job: JobContext<unknown>,
  processes: Processes,
  openSeconds: number,
  part: ScoreSeedRequest['part'],
): Promise<void> {
  const { data, options, test, proxy, score, runs, epoch, training, noise, folder } =
    scoring.request;
  const missing: number[] = [];
  for (let seed = 0; seed < runs; seed++) {
    if ((await readRun(scoring, seed)) === undefined) {
      missing.push(seed);
    }
  }
  const run = runOf(scoring, 0);
  const count = await countProcesses(processes, run, missing.length, openSeconds);
  if (count > 1) {
    const request: ScoreSeedRequest = {
      ...{ data, options, proxy, score, runs, epoch, training, folder, part },
      ...(test === undefined ? {} : { test }),
      ...(noise === undefined ? {} : { noise }),
    };
    const seeds = {
      tasks: missing.map((seed) => ({ kind: 'score', request, seed }) as const),
      names: missing.map((seed) => say`Run ${seed}`),
      checkpoints: missing.map((seed) => scoring.folder.checkpoint(seed)),
      steps: stepsOf(scoring),
      stage: say`Training proxies`,
    };
    await runSideBySide(seeds, processes, count, job);
  }
}

/** Does one run of a request that is not open yet. */
export async function scoreSeed(
  request: ScoreSeedRequest,
  seed: number,
  job: TaskJob,
): Promise<void> {
  const { data, options, part, test } = request;
  const dataset =
    part === 'whole'
      ? await openDataset(data, options)
      : (await openSplits(data, options, test)).train;
  await scoreRun(await openScoring(request, dataset), seed, job);
}

const stepsOf = ({ request, dataset }: ScoringJob): number =>
  request.epoch * stepsPerEpoch(dataset.size, request.training);

const runOf = (scoring: ScoringJob, seed: number) => {
  const { request, dataset, labels, proxy } = scoring;
  const examples = allExamples(dataset.size);
  const settings = request.training;
  return { proxy, dataset, labels, examples, seed, steps: stepsOf(scoring), settings };
};

/** The records of all epochs of a run that is done. */
async function readRun(
  { request: { epoch: epochs }, folder }: ScoringJob,
  seed: number,
): Promise<EpochRecord[] | undefined> {
  const numbers = epochs === 0 ? [0] : Array.from({ length: epochs }, (_, i) => i + 1);
  const found = await Promise.all(
    numbers.map(async (epoch) => readRecord(folder.record(seed, epoch))),
  );
  const records = found.filter((record) => record !== undefined);
  return records.length === numbers.length ? records : undefined;
}

/** Trains one seed, or reads what an earlier try has left; gives its records of all epochs. */
async function scoreRun(
  scoring: ScoringJob,
  seed: number,
  job: TaskJob,
  sink?: RecordSink,
): Promise<readonly EpochRecord[]> {
  const { request, dataset, labels, proxy, folder } = scoring;
  const { epoch: epochs, score } = request;
  const kept = await readRun(scoring, seed);
  if (kept !== undefined) {
    return kept;
  }
  const run = runOf(scoring, seed);
  const gradients =
    score === 'grand'
      ? await GradientNormScorer.create(proxy.untrained(seed), threadsOf(run))
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
      await record(0, trainer).finally(async () => trainer.dispose());
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
