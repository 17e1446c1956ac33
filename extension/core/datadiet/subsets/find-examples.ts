import { argsort } from '../../data/rank-correlation';
import type { DataIssues } from '../neighbors/data-issues';
import type { IssueKind } from '../neighbors/issue-kinds';
import { scoreValues } from '../scores/score-document';
import type { ScoreDocument } from '../scores/score-document';

/** Sort orders of examples: score, variability, label probability, groups, outlier score, or dataset order. */
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

/** Filter and order of examples. */
export interface ExampleQuery {
  readonly order: ExampleOrder;
  /** Class index; all classes by default. */
  readonly label?: number;
  /** Index of the predicted class. */
  readonly predicted?: number;
  /** Keeps only examples with this issue. */
  readonly issue?: IssueKind;
  /** Minimum cosine similarity of duplicates. */
  readonly similarity?: number;
  /** Sorts all examples by similarity to this one, which comes first. */
  readonly similarTo?: number;
  /** Keeps only examples in a region of a map. */
  readonly region?: Region;
  /** Text to search for, ignoring case. */
  readonly search?: string;
  /** Keeps only these examples; all by default. */
  readonly among?: readonly number[];
  /** Page index from 0. */
  readonly page: number;
  /** Example to look for: if it matches, its page is returned. */
  readonly containing?: number;
  readonly pageSize: number;
}

/** Rectangle on a map: of variability and confidence, or of the embedding. */
export interface Region {
  readonly map: 'dynamics' | 'embedding';
  readonly x: readonly [number, number];
  readonly y: readonly [number, number];
}

/** Example with its scores. */
export interface ScoredExample {
  readonly index: number;
  /** Null means infinite: never learned. */
  readonly score: number | null;
  /** Standard deviation over the runs. */
  readonly deviation?: number | null;
  /** Class names. */
  readonly label?: string;
  readonly predicted?: string;
  /** Mean probability of the given label. */
  readonly labelScore?: number;
  readonly suspected: boolean;
  /** Duplicate group: first example, size, and whether this example is identical to the first. */
  readonly group?: { readonly first: number; readonly size: number; readonly isCopy: boolean };
  readonly isOutlier: boolean;
  /** Mean of 1 − cosine to the nearest examples. */
  readonly outlierScore?: number;
}

/** Scores with the data for searching their examples. */
export interface Findable {
  readonly document: ScoreDocument;
  readonly issues: DataIssues;
  /** Returns the searchable text of an example; absent if the dataset is not open. */
  readonly textOf?: ((index: number) => string) | undefined;
}

/**
 * Indices of all matching examples, in order.
 * @param ranked result of {@link rankExamples} for the query
 */
export function findExamples(
  examples: Findable,
  query: ExampleQuery,
  ranked = rankExamples(examples, query),
): number[] {
  const tests = queryTests(examples, query);
  const found: number[] = [];
  for (const index of ranked) {
    if (tests.every((test) => test(index))) {
      found.push(index);
    }
  }
  return found;
}

type Test = (index: number) => boolean;

/** Filters of a query, cheapest first. */
function queryTests({ document, issues, textOf }: Findable, query: ExampleQuery): Test[] {
  const { labels, predicted } = document;
  const { label, issue, similarity, region, search } = query;
  const among = query.among === undefined ? undefined : new Set(query.among);
  const words = search?.trim().toLowerCase() ?? '';
  const tests: (Test | undefined)[] = [
    among && ((index) => among.has(index)),
    label === undefined ? undefined : (index) => labels[index] === label,
    query.predicted === undefined ? undefined : (index) => predicted[index] === query.predicted,
    issue && ((index) => issues.has(issue, index, similarity)),
    region && regionTest(region, document, issues),
    words === '' ? undefined : (index) => textOf?.(index).toLowerCase().includes(words) === true,
  ];
  return tests.filter((test) => test !== undefined);
}

function regionTest({ map, x, y }: Region, document: ScoreDocument, issues: DataIssues): Test {
  const { confidence, variability } = document;
  const points = issues.embedding?.points ?? [];
  const isIn = (value: number | undefined, [low, high]: readonly [number, number]): boolean =>
    value !== undefined && value >= low && value <= high;
  return map === 'dynamics'
    ? (index) => isIn(variability[index], x) && isIn(confidence[index], y)
    : (index) => isIn(points[2 * index], x) && isIn(points[2 * index + 1], y);
}

/** Sorted indices of all examples; ties keep dataset order. */
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
      return argsort(scoreValues(document).map((score) => -score));
    case 'easiest':
      return argsort(scoreValues(document));
    case 'ambiguous':
      return by((index) => -(variability[index] ?? 0));
    case 'suspicious':
      return by((index) => labelScores[index] ?? 0);
    case 'outlying':
      return by((index) => -(outlierScores[index] ?? 0));
    case 'duplicates': {
      // Largest groups first, with their members together.
      return by(
        (index) =>
          issues.groupFirst(index, similarity) - issues.groupSize(index, similarity) * examples,
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
  const first = issues.groupFirst(index, similarity);
  const size = issues.groupSize(index, similarity);
  const outlierScore = document.outlierScores[index];
  const className = (label: number): string => classNames[label] ?? String(label);
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
    ...(label === undefined ? {} : { label: className(label) }),
    ...(other === undefined ? {} : { predicted: className(other) }),
    ...(labelScore === undefined ? {} : { labelScore }),
    suspected: labelIssues[index] === 1,
    ...(size > 1 ? { group: { first, size, isCopy: issues.isCopy(index, first) } } : {}),
    isOutlier: issues.has('outliers', index),
    ...(outlierScore === undefined ? {} : { outlierScore }),
  };
}
