import { argsort, ranks } from '../../data/rank-correlation';
import { seededRandom, shuffle, choose } from '../../data/random';
import { UserError } from '../../user-error';
import { say, counted } from '../../message';
import { datasetSubset } from '../../data/datasets/dataset';
import type { Dataset, DatasetOptions } from '../../data/datasets/dataset';
import { openDataset } from '../../data/datasets/open-dataset';
import { allExamples } from '../scores/predictions';
import type { Message } from '../../message';

/** Policies for selecting examples by score. */
export const policies = ['max', 'window', 'random'] as const;
export type Policy = (typeof policies)[number];

export interface SelectionRequest {
  /** Share of examples to keep, above 0 and at most 1. */
  readonly keep: number;
  /** `max` keeps the highest scores, `window` the highest after skipping a share, `random` any. */
  readonly policy: Policy;
  /** Share of highest scores that `window` skips. */
  readonly offset?: number;
  /** Keeps the same share of every class, at least one example. */
  readonly balanced: boolean;
  /** Seed for `random` and for ordering equal scores. */
  readonly seed: number;
}

/**
 * Selects examples by score and returns ascending indices.
 * @param labels class of each example; required for a balanced selection
 * @param among candidates; all by default
 * @throws UserError if shares are out of range, or classes needed for balancing are unknown.
 */
export function selectExamples(
  scores: Float64Array,
  labels: Int32Array | undefined,
  request: SelectionRequest,
  among: Int32Array = Int32Array.from(scores.keys()),
): Int32Array {
  checkRequest(request);
  if (!request.balanced) {
    return chooseFrom(among, scores, request, Math.round(among.length * request.keep)).sort();
  }
  if (labels === undefined) {
    throw new UserError(
      'classes-missing',
      say`The examples have no known classes, so they cannot be balanced.`,
      { field: 'labels', remedy: say`Specify the dataset, or select without balance.` },
    );
  }
  const chosen = groupByClass(labels, among).map((members) => {
    const count = Math.max(1, Math.round(members.length * request.keep));
    return chooseFrom(Int32Array.from(members), scores, request, count);
  });
  const all = new Int32Array(chosen.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of chosen) {
    all.set(part, at);
    at += part.length;
  }
  return all.sort();
}

function chooseFrom(
  among: Int32Array,
  scores: Float64Array,
  { policy, offset = 0, seed }: SelectionRequest,
  count: number,
): Int32Array {
  // Shuffled first, so that ties (frequent for forgetting) aren't resolved by position.
  const drawn = shuffle([...among], seededRandom(seed));
  if (policy === 'random') {
    return Int32Array.from(drawn.slice(0, count));
  }
  const order = argsort(Float64Array.from(drawn, (index) => -(scores[index] ?? 0)));
  const start = policy === 'window' ? Math.round(among.length * offset) : 0;
  // Rounding may request one example more than remain.
  const first = Math.max(0, Math.min(start, among.length - count));
  return Int32Array.from(order.subarray(first, first + count), (place) => drawn[place] ?? 0);
}

/** Examples of each nonempty class, in the order of classes. */
function groupByClass(labels: Int32Array, among: Int32Array): number[][] {
  const byClass = new Map<number, number[]>();
  for (const example of among) {
    const label = labels[example] ?? 0;
    const members = byClass.get(label) ?? [];
    members.push(example);
    byClass.set(label, members);
  }
  return [...byClass].sort(([a], [b]) => a - b).map(([, members]) => members);
}

function checkRequest({ keep, policy, offset }: SelectionRequest): void {
  if (!(keep > 0 && keep <= 1)) {
    throw new UserError('keep-invalid', say`It must be above 0 and at most 1, not ${keep}.`, {
      field: 'keep',
      remedy: undefined,
    });
  }
  if (policy !== 'window') {
    return;
  }
  if (offset === undefined || !(offset >= 0 && offset + keep <= 1 + 1e-9)) {
    throw new UserError(
      offset === undefined ? 'offset-missing' : 'offset-invalid',
      offset === undefined
        ? say`The policy window needs the share of examples that it drops.`
        : say`keep ${keep} and offset ${offset} must add up to at most 1.`,
      { field: 'offset', remedy: say`Choose an offset of at least 0 and at most 1 − keep.` },
    );
  }
}

/** Training and test data. */
interface Splits {
  readonly train: Dataset;
  readonly test: Dataset;
  /** Fingerprint of the stored training data, including held-out examples. */
  readonly fingerprint: string;
  readonly warnings: readonly Message[];
}

/** Fingerprint of training and test data. */
export const splitsFingerprint = (train: Dataset, test: Dataset): string =>
  `${train.fingerprint} ${test.fingerprint}`;

/** Share of examples held out from a dataset without a test split. */
const testShare = 0.2;

/**
 * Opens the training and test splits of a dataset. If there is no test split, or both have the same content, holds out
 * a fifth of every class instead.
 * @param test path of separate test data
 */
export async function openSplits(
  path: string,
  options: DatasetOptions,
  test?: string,
): Promise<Splits> {
  const train = await openDataset(path, { ...options, split: 'train' });
  const classNames = options.classNames ?? train.classNames;
  const other = await openDataset(test ?? path, { ...options, classNames, split: 'test' });
  const warnings = [...train.warnings, ...other.warnings];
  if (test !== undefined || other.fingerprint !== train.fingerprint) {
    const { fingerprint } = train;
    return { train, test: other, fingerprint, warnings: [...new Set(warnings)] };
  }
  const { kept, heldOut } = holdOut(train.labels, allExamples(train.size), testShare, 0);
  return {
    train: datasetSubset(train, kept),
    test: datasetSubset(train, heldOut),
    fingerprint: train.fingerprint,
    warnings: [
      ...new Set(warnings),
      say`${path} has no test part, so ${heldOut.length} of ${counted(train.size, 'example')} are held out for testing.`,
    ],
  };
}

/** Splits examples class by class. The only example of a class is always kept for training. */
export function holdOut(
  labels: Int32Array,
  examples: Int32Array,
  share: number,
  seed: number,
): { kept: Int32Array; heldOut: Int32Array } {
  const byClass = groupByClass(labels, examples);
  const random = seededRandom(seed);
  const out = new Set<number>();
  for (const members of byClass) {
    const count = Math.min(members.length - 1, Math.round(members.length * share));
    shuffle(members, random)
      .slice(0, count)
      .forEach((example) => out.add(example));
  }
  return {
    kept: examples.filter((example) => !out.has(example)),
    heldOut: examples.filter((example) => out.has(example)),
  };
}

/** Labels after flipping some of them. */
export interface NoisyLabels {
  readonly labels: Int32Array;
  /** 1 if the label was flipped. */
  readonly flipped: Uint8Array;
}

/** Flips the labels of round(rate · examples) examples to a uniformly random other class. */
export function flipLabels(
  labels: Int32Array,
  classes: number,
  rate: number,
  seed: number,
): NoisyLabels {
  const random = seededRandom(seed);
  const flipped = new Uint8Array(labels.length);
  const noisy = labels.slice();
  for (const example of choose(Math.round(rate * labels.length), labels.length, random)) {
    const other = Math.floor(random() * (classes - 1));
    const label = labels[example] ?? 0;
    noisy[example] = other < label ? other : other + 1;
    flipped[example] = 1;
  }
  return { labels: noisy, flipped };
}

/**
 * Area under the ROC curve: probability that a marked example has a higher score than an unmarked one, with ties
 * counted as half (Mann–Whitney). Undefined if all or none are marked.
 */
export function auroc(scores: Float64Array, marked: Uint8Array): number | undefined {
  const positives = marked.reduce((sum, mark) => sum + mark, 0);
  const negatives = marked.length - positives;
  if (positives === 0 || negatives === 0) {
    return undefined;
  }
  const sum = ranks(scores).reduce((total, rank, i) => total + (marked[i] === 1 ? rank : 0), 0);
  return (sum - (positives * (positives + 1)) / 2) / (positives * negatives);
}
