import type { EpochRecord } from './epoch-record';
import { interRunSpearman } from '../../data/rank-correlation';
import { inEnglish, say } from '../../message';
import { bareScores } from './score-document';
import type { ScoreDocument, ScoreKind } from './score-document';
import { Cartography, Forgetting, meanOverRuns } from './scores';
import type { Dataset } from '../../data/datasets/dataset';
import type { EmbeddingRequest } from '../neighbors/embed-examples';
import type { ProxyModel } from '../training/proxy-model';
import type { RunFolder } from '../training/run-folder';
import type { FitRequest } from '../training/training-settings';

/** Combines the records of all epochs of all runs into a score document. */
export function summarizeRuns(
  { request, dataset, labels, proxy }: ScoringJob,
  runs: readonly (readonly EpochRecord[])[],
): ScoreDocument {
  const { score, epoch, noise, data, options } = request;
  const perRun = runs.map((records) => runScores(score, records));
  const mean = meanOverRuns(perRun);
  const last = runs.flatMap((records) => records.at(-1) ?? []);
  const given = meanOverRuns(last.map((record) => Float64Array.from(record.given)));
  const { predicted, largest } = joinPredictions(last);
  const cartography = new Cartography(dataset.size);
  for (const { given: probability, correct } of runs.flat()) {
    cartography.observe(Float64Array.from(probability), correct);
  }
  const { confidence, variability, correctness } = cartography.statistics;
  const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);
  const classes = dataset.classNames.length;
  return {
    ...bareScores(score, Array.from(mean, finite)),
    dataset: {
      path: data,
      name: dataset.name,
      fingerprint: dataset.fingerprint,
      ...(Object.keys(options).length === 0 ? {} : { options }),
    },
    classNames: [...dataset.classNames],
    notes: scoreNotes(score, epoch, proxy.drawsWeights),
    scoring: {
      model: proxy.name,
      epoch,
      runs: runs.length,
      seeds: runs.map((_, seed) => seed),
      interRunSpearman: interRunSpearman(perRun) ?? null,
      seconds: runs.flat().reduce((sum, record) => sum + record.seconds, 0),
      ...(noise === undefined ? {} : { noise }),
    },
    deviations: runs.length > 1 ? Array.from(sampleDeviations(perRun, mean), finite) : [],
    labels: [...labels],
    predicted: [...predicted],
    labelScores: [...given],
    labelIssues: labelIssues({ labels, predicted, given, largest, classes }),
    confidence: [...confidence],
    variability: [...variability],
    correctness: [...correctness],
  };
}

function runScores(kind: ScoreKind, records: readonly EpochRecord[]): Float64Array {
  const last = records.at(-1);
  if (last === undefined) {
    throw new Error('a run has no record');
  }
  if (kind !== 'forgetting') {
    return Float64Array.from(last[kind]);
  }
  const forgetting = new Forgetting(last.correct.length);
  for (const { correct } of records) {
    forgetting.observe(correct);
  }
  return forgetting.scores;
}

/**
 * Predicted class over all runs, weighted by probability, and its mean probability, where runs that predict another
 * class count as 0.
 */
function joinPredictions(records: readonly EpochRecord[]): {
  predicted: Int32Array;
  largest: Float64Array;
} {
  const size = records[0]?.predicted.length ?? 0;
  const [predicted, largest] = [new Int32Array(size), new Float64Array(size)];
  for (let i = 0; i < size; i++) {
    const votes = new Map<number, number>();
    for (const record of records) {
      const label = record.predicted[i] ?? 0;
      votes.set(label, (votes.get(label) ?? 0) + (record.largest[i] ?? 0));
    }
    const [best] = [...votes].sort(([, a], [, b]) => b - a);
    predicted[i] = best?.[0] ?? 0;
    largest[i] = (best?.[1] ?? 0) / Math.max(1, records.length);
  }
  return { predicted, largest };
}

/** Sample standard deviation over runs (divisor n − 1). */
function sampleDeviations(runs: readonly Float64Array[], mean: Float64Array): Float64Array {
  return mean.map((middle, i) => {
    const squares = runs.reduce((sum, run) => sum + ((run[i] ?? 0) - middle) ** 2, 0);
    return Math.sqrt(squares / (runs.length - 1));
  });
}

function scoreNotes(score: ScoreKind, epoch: number, drawsWeights: boolean): string[] {
  // Documents are in English; the panel translates.
  const notes = [
    ...(score === 'grand' && epoch === 0
      ? [
          say`GraNd at initialization mostly measures the size of the input, and selects worse than random.`,
        ]
      : []),
    ...(score === 'forgetting'
      ? [
          say`Number of times an example was learned and then forgotten; null if it was never learned.`,
        ]
      : []),
    ...(drawsWeights
      ? []
      : [
          say`All runs start from the weights in the ONNX file and differ only in the order of the examples.`,
        ]),
  ];
  return notes.map(inEnglish);
}

/**
 * Label issues by confident learning (Northcutt et al. 2021, arXiv 1911.00068, § 3.1): a label is suspected if the
 * predicted class differs and its probability is at least the mean probability of that class among examples labeled
 * with it.
 */
export function labelIssues({
  labels,
  predicted,
  given,
  largest,
  classes,
}: {
  readonly labels: Int32Array;
  readonly predicted: Int32Array;
  /** Probability of the given label. */
  readonly given: Float64Array;
  /** Probability of the predicted class. */
  readonly largest: Float64Array;
  readonly classes: number;
}): (0 | 1)[] {
  const sums = new Float64Array(classes);
  const counts = new Float64Array(classes);
  labels.forEach((label, i) => {
    sums[label] = (sums[label] ?? 0) + (given[i] ?? 0);
    counts[label] = (counts[label] ?? 0) + 1;
  });
  const thresholds = sums.map((sum, label) => sum / Math.max(1, counts[label] ?? 0));
  return Array.from(labels, (label, i) => {
    const other = predicted[i] ?? label;
    return other !== label && (largest[i] ?? 0) >= (thresholds[other] ?? 1) ? 1 : 0;
  });
}

/** Dataset and settings of a scoring job. */
export interface ScoreRequest extends FitRequest {
  readonly score: ScoreKind;
  /** Number of independent runs, with seeds 0, 1, …, over which scores are averaged. */
  readonly runs: number;
  /** Number of epochs trained before scoring; 0 scores at initialization. */
  readonly epoch: number;
  /** Also computes an embedding. */
  readonly embedding?: EmbeddingRequest;
  /** Folder for finished runs while the job is running. */
  readonly folder: string;
  /** Keeps the runs after the job is done; removed by default. */
  readonly keepRuns?: boolean;
  /** Writes the result before the runs are removed, so that a full disk loses nothing. */
  readonly write?: (document: ScoreDocument) => Promise<void>;
}

/** State shared by the runs of a scoring job. */
export interface ScoringJob {
  readonly request: ScoreRequest;
  readonly dataset: Dataset;
  readonly labels: Int32Array;
  readonly proxy: ProxyModel;
  readonly folder: RunFolder;
}
