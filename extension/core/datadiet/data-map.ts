import type { DatasetOptions } from '../data/datasets/dataset';
import { choose, seededRandom } from '../data/random';
import { DataIssues } from './neighbors/data-issues';
import type { IssueKind, Layout } from './neighbors/issue-kinds';
import { scoreValues } from './scores/score-document';
import type { ScoreDocument } from './scores/score-document';

/** Number of histogram bars. */
const bars = 40;
/** Maximum number of points on the map. More would overlap. */
const maxPoints = 3000;

/** Histogram of scores. */
export interface ScoreHistogram {
  readonly low: number;
  readonly high: number;
  readonly counts: readonly number[];
  /** Number of examples with an infinite score, which are in no bar. */
  readonly infinite: number;
}

/** Example on the confidence–variability map (Swayamdipta et al. 2020, arXiv 2009.10795, § 2). */
export interface MapPoint {
  readonly index: number;
  readonly confidence: number;
  readonly variability: number;
  readonly correctness: number;
}

/** Example on the embedding map. */
export interface PlacedPoint {
  readonly index: number;
  readonly x: number;
  readonly y: number;
  /** Class index; absent if unknown. */
  readonly label?: number;
  /** Null means infinite. */
  readonly score: number | null;
  readonly issues: readonly IssueKind[];
}

export interface ClassCounts {
  readonly name: string;
  readonly examples: number;
  /** Absent if label issues are unknown. */
  readonly suspected?: number;
  /** Most frequently predicted other class of examples with suspected labels, and its number of examples. */
  readonly confused?: { readonly label: number; readonly examples: number };
  /** Mean of the finite scores; absent if there are none. */
  readonly meanScore?: number;
}

/** Summary of a score document. */
export interface ScoreOverview {
  readonly name: string;
  readonly score: string;
  readonly examples: number;
  readonly notes: readonly string[];
  readonly scoring?: ScoreDocument['scoring'];
  readonly dataset?: {
    readonly path: string;
    readonly fingerprint: string;
    readonly options?: DatasetOptions;
  };
  readonly histogram: ScoreHistogram;
  /** Random sample of large datasets; empty if training dynamics are unknown. */
  readonly points: readonly MapPoint[];
  /** Number of examples with training dynamics. */
  readonly mapped: number;
  /** Empty if labels are unknown. */
  readonly classes: readonly ClassCounts[];
  /** Number of examples excluded by each known kind of issue. */
  readonly issues: Readonly<Partial<Record<IssueKind, number>>>;
  /** Embedding map, if there is an embedding. */
  readonly embedding?: {
    readonly layer: string;
    readonly layout: Layout;
    /** Random sample of large datasets. */
    readonly points: readonly PlacedPoint[];
  };
}

/**
 * Summarizes a score document.
 * @param name dataset name, or the name of the score file if the dataset is unknown
 */
export function summarizeScores(
  document: ScoreDocument,
  name: string,
  issues = new DataIssues(document),
): ScoreOverview {
  const { score, examples, notes, scoring, dataset, embedding } = document;
  return {
    name,
    score,
    examples,
    notes,
    ...(scoring === undefined ? {} : { scoring }),
    ...(dataset === undefined ? {} : { dataset }),
    histogram: scoreHistogram(scoreValues(document)),
    points: dynamicsPoints(document),
    mapped: document.confidence.length,
    classes: classCounts(document),
    issues: Object.fromEntries(issues.known.map((kind) => [kind, issues.affected(kind).length])),
    ...(embedding === undefined
      ? {}
      : {
          embedding: {
            layer: embedding.layer,
            layout: embedding.layout,
            points: embeddingPoints(document, issues),
          },
        }),
  };
}

function embeddingPoints(
  { labels, scores, examples }: ScoreDocument,
  issues: DataIssues,
): PlacedPoint[] {
  const points = issues.embedding?.points ?? [];
  return choose(maxPoints, examples, seededRandom(0)).map((index) => {
    const label = labels[index];
    return {
      index,
      x: points[2 * index] ?? 0,
      y: points[2 * index + 1] ?? 0,
      ...(label === undefined ? {} : { label }),
      score: scores[index] ?? null,
      issues: issues.known.filter((kind) => issues.has(kind, index)),
    };
  });
}

export function scoreHistogram(scores: Float64Array): ScoreHistogram {
  const finite = scores.filter(Number.isFinite);
  const infinite = scores.length - finite.length;
  const low = finite.reduce((least, score) => Math.min(least, score), Infinity);
  const high = finite.reduce((most, score) => Math.max(most, score), -Infinity);
  if (finite.length === 0) {
    return { low: 0, high: 0, counts: [], infinite };
  }
  if (low === high) {
    return { low, high, counts: [finite.length], infinite };
  }
  const counts = new Array<number>(bars).fill(0);
  for (const score of finite) {
    const bar = Math.min(bars - 1, Math.floor(((score - low) / (high - low)) * bars));
    counts[bar] = (counts[bar] ?? 0) + 1;
  }
  return { low, high, counts, infinite };
}

function dynamicsPoints({ confidence, variability, correctness }: ScoreDocument): MapPoint[] {
  return choose(maxPoints, confidence.length, seededRandom(0)).map((index) => ({
    index,
    confidence: confidence[index] ?? 0,
    variability: variability[index] ?? 0,
    correctness: correctness[index] ?? 0,
  }));
}

/** Statistics per class; empty if labels are unknown. */
export function classCounts(document: ScoreDocument): ClassCounts[] {
  const { classNames, labels, labelIssues, predicted, scores } = document;
  const counts = classNames.map(() => ({
    ...{ examples: 0, suspected: 0, finite: 0, sum: 0 },
    confused: new Map<number, number>(),
  }));
  labels.forEach((label, i) => {
    const count = counts[label];
    if (count === undefined) {
      return;
    }
    count.examples++;
    count.suspected += labelIssues[i] ?? 0;
    const other = predicted[i];
    if (labelIssues[i] === 1 && other !== undefined) {
      count.confused.set(other, (count.confused.get(other) ?? 0) + 1);
    }
    const score = scores[i] ?? null;
    if (score !== null) {
      count.finite++;
      count.sum += score;
    }
  });
  return labels.length === 0
    ? []
    : classNames.map((name, i) => {
        const { examples = 0, suspected = 0, finite = 0, sum = 0, confused } = counts[i] ?? {};
        const [most] = [...(confused ?? [])].sort(([, a], [, b]) => b - a);
        return {
          name,
          examples,
          ...(labelIssues.length === 0 ? {} : { suspected }),
          ...(most === undefined ? {} : { confused: { label: most[0], examples: most[1] } }),
          ...(finite === 0 ? {} : { meanScore: sum / finite }),
        };
      });
}
