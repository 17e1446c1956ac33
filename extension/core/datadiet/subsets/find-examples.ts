import { argsort } from '../../data/rank-correlation';
import type { DataIssues } from '../neighbors/data-issues';
import type { IssueKind } from '../neighbors/issue-kinds';
import { scoresOf } from '../scores/score-document';
import type { ScoreDocument } from '../scores/score-document';

/** What examples are sorted by: score, variability, probability of the label, groups, distance to others, or place. */
export const exampleOrders = [
  'hardest',
  'easiest',
  'ambiguous',
  'suspicious',
  'duplicates',
  'outlying',
  'stored',
] as const;
export type ExampleOrder = (typeof exampleOrders)[number];

/** Which examples are looked at, and in what order. */
export interface ExampleQuery {
  readonly order: ExampleOrder;
  /** Number of a class; all when absent. */
  readonly label?: number;
  /** Number of the class that is predicted. */
  readonly predicted?: number;
  /** Those alone that have an issue. */
  readonly issue?: IssueKind;
  /** Cosine from which on examples are duplicates. */
  readonly similarity?: number;
  /** All in the order of their similarity to this one, which comes first. */
  readonly similarTo?: number;
  /** A part of a map. */
  readonly region?: Region;
  /** Text that the content has in it, whatever its case. */
  readonly search?: string;
  /** These alone; all when absent. */
  readonly among?: readonly number[];
  /** Counted from 0. */
  readonly page: number;
  /** An example that is looked for: the page with it is shown if it passes. */
  readonly containing?: number;
  readonly pageSize: number;
}

/** A rectangle on a map: of variability and confidence, or of the embedding. */
export interface Region {
  readonly map: 'dynamics' | 'embedding';
  readonly x: readonly [number, number];
  readonly y: readonly [number, number];
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
  /** Of a group of duplicates: its first example, how many there are, and whether this one is the same as the first. */
  readonly group?: { readonly first: number; readonly size: number; readonly isCopy: boolean };
  readonly isOutlier: boolean;
  /** Mean of 1 − cosine to the nearest examples. */
  readonly outlierScore?: number;
}

/** Scores, and what is known of their examples beside them. */
export interface Findable {
  readonly document: ScoreDocument;
  readonly issues: DataIssues;
  /** What an example says that can be searched; absent where it is not open. */
  readonly textOf?: ((index: number) => string) | undefined;
}

/**
 * Indices of the examples that pass, all of them, in order.
 * @param ranked what {@link rankExamples} gives for the query
 */
export function findExamples(
  examples: Findable,
  query: ExampleQuery,
  ranked = rankExamples(examples, query),
): number[] {
  const tests = testsOf(examples, query);
  const found: number[] = [];
  for (const index of ranked) {
    if (tests.every((test) => test(index))) {
      found.push(index);
    }
  }
  return found;
}

type Test = (index: number) => boolean;

/** The cheap ones come first. */
function testsOf({ document, issues, textOf }: Findable, query: ExampleQuery): Test[] {
  const { labels, predicted } = document;
  const { label, issue, similarity, region, search } = query;
  const among = query.among === undefined ? undefined : new Set(query.among);
  const words = search?.trim().toLowerCase() ?? '';
  const tests: (Test | undefined)[] = [
    among && ((index) => among.has(index)),
    label === undefined ? undefined : (index) => labels[index] === label,
    query.predicted === undefined ? undefined : (index) => predicted[index] === query.predicted,
    issue && ((index) => issues.has(issue, index, similarity)),
    region && inRegion(region, document, issues),
    words === '' ? undefined : (index) => textOf?.(index).toLowerCase().includes(words) === true,
  ];
  return tests.filter((test) => test !== undefined);
}

function inRegion({ map, x, y }: Region, document: ScoreDocument, issues: DataIssues): Test {
  const { confidence, variability } = document;
  const points = issues.embedding?.points ?? [];
  const isIn = (value: number | undefined, [low, high]: readonly [number, number]): boolean =>
    value !== undefined && value >= low && value <= high;
  return map === 'dynamics'
    ? (index) => isIn(variability[index], x) && isIn(confidence[index], y)
    : (index) => isIn(points[2 * index], x) && isIn(points[2 * index + 1], y);
}

/** All examples in an order; equal ones stay in that of the data set. */
export function rankExamples(
  { document, issues }: Pick<Findable, 'document' | 'issues'>,
  { order, similarity, similarTo }: ExampleQuery,
): Uint32Array {
  const { labelScores, variability, outlierScores, examples } = document;
  const by = (valueOf: (index: number) => number): Uint32Array =>
    argsort(Float64Array.from({ length: examples }, (_, index) => valueOf(index)));
  if (similarTo !== undefined) {
    return by((index) =>
      index === similarTo ? -2 : -(issues.embedding?.similarity(similarTo, index) ?? 0),
    );
  }
  switch (order) {
    case 'hardest':
      return argsort(scoresOf(document).map((score) => -score));
    case 'easiest':
      return argsort(scoresOf(document));
    case 'ambiguous':
      return by((index) => -(variability[index] ?? 0));
    case 'suspicious':
      return by((index) => labelScores[index] ?? 0);
    case 'outlying':
      return by((index) => -(outlierScores[index] ?? 0));
    case 'duplicates': {
      // The largest groups first, each of them together.
      return by(
        (index) =>
          issues.firstOf(index, similarity) - issues.groupSize(index, similarity) * examples,
      );
    }
    case 'stored':
      return Uint32Array.from({ length: examples }, (_, i) => i);
  }
}

export function scoredExample(
  { document, issues }: Pick<Findable, 'document' | 'issues'>,
  index: number,
  similarity?: number,
): ScoredExample {
  const { scores, deviations, labels, predicted, labelScores, labelIssues, classNames } = document;
  const first = issues.firstOf(index, similarity);
  const size = issues.groupSize(index, similarity);
  const outlierScore = document.outlierScores[index];
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
    ...(size > 1 ? { group: { first, size, isCopy: issues.isCopy(index, first) } } : {}),
    isOutlier: issues.has('outliers', index),
    ...(outlierScore === undefined ? {} : { outlierScore }),
  };
}
