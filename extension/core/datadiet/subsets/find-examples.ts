import { argsort } from '../../data/argsort';
import { scoresOf } from '../scores/score-document';
import type { ScoreDocument } from '../scores/score-document';

/** What examples are sorted by: score, variability, probability of the label, or place. */
export const exampleOrders = ['hardest', 'easiest', 'ambiguous', 'suspicious', 'stored'] as const;
export type ExampleOrder = (typeof exampleOrders)[number];

/** Which examples are looked at, and in what order. */
export interface ExampleQuery {
  readonly order: ExampleOrder;
  /** Number of a class; all when absent. */
  readonly label?: number;
  /** Suspected label errors alone. */
  readonly suspected: boolean;
  /** These alone; all when absent. */
  readonly among?: readonly number[];
  /** Counted from 0. */
  readonly page: number;
  /** An example that is looked for: the page with it is shown if it passes. */
  readonly containing?: number;
  readonly pageSize: number;
}

/** One example as its scores tell it. */
export interface ScoredExample {
  readonly index: number;
  /** Null stands for infinite: never learned. */
  readonly score: number | null;
  /** Standard deviation over the runs. */
  readonly deviation?: number | null;
  /** Names of the classes. */
  readonly label?: string;
  readonly predicted?: string;
  /** Mean probability of the given label. */
  readonly labelScore?: number;
  readonly suspected: boolean;
}

/**
 * Indices of the examples that pass, all of them, in order.
 * @param ranked what {@link rankExamples} gives for the order of the query
 */
export function findExamples(
  document: ScoreDocument,
  query: ExampleQuery,
  ranked = rankExamples(document, query.order),
): number[] {
  const { labels, labelIssues } = document;
  const among = query.among === undefined ? undefined : new Set(query.among);
  const found: number[] = [];
  for (const index of ranked) {
    if (
      among?.has(index) !== false &&
      (query.label === undefined || labels[index] === query.label) &&
      (!query.suspected || labelIssues[index] === 1)
    ) {
      found.push(index);
    }
  }
  return found;
}

/** All examples in an order; equal ones stay in that of the data set. */
export function rankExamples(document: ScoreDocument, order: ExampleOrder): Uint32Array {
  const { labelScores, variability, examples } = document;
  const by = (values: ArrayLike<number>, sign: 1 | -1): Uint32Array =>
    argsort(Float64Array.from({ length: examples }, (_, i) => sign * (values[i] ?? 0)));
  switch (order) {
    case 'hardest':
      return by(scoresOf(document), -1);
    case 'easiest':
      return by(scoresOf(document), 1);
    case 'ambiguous':
      return by(variability, -1);
    case 'suspicious':
      return by(labelScores, 1);
    case 'stored':
      return Uint32Array.from({ length: examples }, (_, i) => i);
  }
}

export function scoredExample(document: ScoreDocument, index: number): ScoredExample {
  const { scores, deviations, labels, predicted, labelScores, labelIssues, classNames } = document;
  const nameOf = (label: number): string => classNames[label] ?? String(label);
  const [deviation, label, other, labelScore] = [
    deviations[index],
    labels[index],
    predicted[index],
    labelScores[index],
  ];
  return {
    index,
    score: scores[index] ?? null,
    ...(deviation === undefined ? {} : { deviation }),
    ...(label === undefined ? {} : { label: nameOf(label) }),
    ...(other === undefined ? {} : { predicted: nameOf(other) }),
    ...(labelScore === undefined ? {} : { labelScore }),
    suspected: labelIssues[index] === 1,
  };
}
