import { datasetSubset } from '../../data/datasets/dataset';
import type { Dataset, DatasetOptions } from '../../data/datasets/dataset';
import { openDataset } from '../../data/datasets/open-dataset';
import { seededRandom, shuffle } from '../../data/random';
import { allExamples } from '../scores/predictions';
import { groupByClass } from './selection';
import { counted, say } from '../../message';
import type { Message } from '../../message';

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
