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

/** Indices of the examples that pass, all of them, in order. */
export function findExamples(document: ScoreDocument, query: ExampleQuery): number[] {
  const { labels, labelIssues, examples } = document;
  const candidates = query.among ?? Array.from({ length: examples }, (_, index) => index);
  const found = candidates.filter(
    (index) =>
      index >= 0 &&
      index < examples &&
      (query.label === undefined || labels[index] === query.label) &&
      (!query.suspected || labelIssues[index] === 1),
  );
  return found.sort(comparison(document, query.order));
}

/** Equal examples stay in the order of the data set. */
function comparison(
  document: ScoreDocument,
  order: ExampleOrder,
): (a: number, b: number) => number {
  const { labelScores, variability } = document;
  const by =
    (values: ArrayLike<number>, sign: 1 | -1) =>
    (a: number, b: number): number => {
      const [left = 0, right = 0] = [values[a], values[b]];
      return left === right ? a - b : left < right ? -sign : sign;
    };
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
      return (a, b) => a - b;
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
