import type { Dataset, DatasetOptions } from '../data/datasets/dataset';
import { openDataset } from '../data/datasets/open-dataset';
import type { JobContext } from '../jobs/job';
import type { RecordSink } from './dynamics';
import { readRecord, recordEpoch, writeRecord } from './epoch-record';
import type { EpochRecord } from './epoch-record';
import { GradientNormScorer } from './gradient-norm-scorer';
import { flipLabels } from './label-noise';
import { openProxy } from './proxy-model';
import type { ProxyModel, ProxyRequest } from './proxy-model';
import { allExamples } from './predictions';
import { RunFolder } from './run-folder';
import { summarizeRuns } from './run-summary';
import type { ScoreDocument, ScoreKind } from './score-document';
import { createTrainer, stepsPerEpoch, trainRun } from './training-run';
import type { TrainingSettings } from './training-settings';
import { UserError } from '../user-error';

/** Which data set is scored, and how. */
export interface ScoreRequest {
  readonly data: string;
  readonly options: DatasetOptions;
  readonly proxy: ProxyRequest;
  readonly score: ScoreKind;
  /** Independent trainings over which scores are averaged, with seeds 0, 1, … */
  readonly runs: number;
  /** Epochs trained before scoring; 0 scores at initialisation. */
  readonly epoch: number;
  readonly training: TrainingSettings;
  /** Study of label noise: share of labels that are flipped. */
  readonly noise?: { readonly rate: number; readonly seed: number };
  /** Folder that keeps finished runs while the job works. */
  readonly folder: string;
  /** Leave them there when all is done; they are removed if absent. */
  readonly keepRuns?: boolean;
  /** Writes the result, before they are removed: a full disk then costs nothing. */
  readonly write?: (document: ScoreDocument) => Promise<void>;
}

/** Everything that runs of scoring share. */
export interface ScoringJob {
  readonly request: ScoreRequest;
  readonly dataset: Dataset;
  readonly labels: Int32Array;
  readonly proxy: ProxyModel;
  readonly folder: RunFolder;
}

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
      throw new UserError(`It must be a whole number of at least ${least}, not ${value}.`, {
        field: name,
      });
    }
  };
  whole('runs', runs, 1);
  whole('epoch', epoch, score === 'forgetting' ? 2 : 0);
  if (noise !== undefined && !(noise.rate > 0 && noise.rate < 1)) {
    throw new UserError(`It must be between 0 and 1, not ${noise.rate}.`, { field: 'noise' });
  }
}

/**
 * Scores a data set: trains the proxy from several seeds, looks at every example after each epoch, and
 * averages over the runs. What finished is kept in the request's folder until all is done.
 */
export async function scoreDataset(
  request: ScoreRequest,
  job: JobContext<unknown>,
  sink?: RecordSink,
): Promise<ScoreDocument> {
  const dataset = await openDataset(request.data, request.options);
  dataset.warnings.forEach((warning) => {
    job.warn(warning);
  });
  return scoreOpenDataset(request, dataset, job, sink);
}

/** The same for a data set that is open, or a part of one. */
export async function scoreOpenDataset(
  request: ScoreRequest,
  dataset: Dataset,
  job: JobContext<unknown>,
  sink?: RecordSink,
): Promise<ScoreDocument> {
  const scoring = await openScoring(request, dataset);
  const runs: (readonly EpochRecord[])[] = [];
  for (let seed = 0; seed < request.runs; seed++) {
    runs.push(await scoreRun(scoring, seed, job, sink));
  }
  const document = summarizeRuns(scoring, runs);
  await request.write?.(document);
  if (request.keepRuns !== true) {
    await scoring.folder.remove();
  }
  return document;
}

/** Trains one seed, or reads what an earlier try has left; gives its records of all epochs. */
async function scoreRun(
  { request, dataset, labels, proxy, folder }: ScoringJob,
  seed: number,
  job: Pick<JobContext<unknown>, 'cancellation' | 'progress'>,
  sink?: RecordSink,
): Promise<EpochRecord[]> {
  const { epoch: epochs, training: settings, score, runs } = request;
  const perEpoch = stepsPerEpoch(dataset.size, settings);
  const steps = epochs * perEpoch;
  const numbers = epochs === 0 ? [0] : Array.from({ length: epochs }, (_, i) => i + 1);
  const read = async (): Promise<EpochRecord[]> => {
    const found = await Promise.all(
      numbers.map(async (epoch) => readRecord(folder.record(seed, epoch))),
    );
    return found.filter((record) => record !== undefined);
  };
  const kept = await read();
  if (kept.length === numbers.length) {
    return kept;
  }
  const gradients =
    score === 'grand' ? await GradientNormScorer.create(proxy.untrained(seed)) : undefined;
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
  const examples = allExamples(dataset.size);
  const run = { proxy, dataset, labels, examples, seed, steps, settings };
  try {
    if (epochs === 0) {
      const trainer = await createTrainer(run);
      await record(0, trainer).finally(async () => trainer.dispose());
    } else {
      const { trainer } = await trainRun(run, {
        cancellation: job.cancellation,
        checkpoint: folder.checkpoint(seed),
        step: (made) => {
          const done = seed * steps + made;
          job.progress({ stage: 'Training proxies', done, total: runs * steps, unit: 'steps' });
        },
        epoch: record,
      });
      await trainer.dispose();
    }
  } finally {
    await gradients?.dispose();
  }
  return read();
}
