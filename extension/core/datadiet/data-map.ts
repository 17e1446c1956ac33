import type { DatasetOptions } from '../data/datasets/dataset';
import { choose, seededRandom } from '../data/random';
import { DataIssues } from './neighbors/data-issues';
import type { IssueKind, Layout } from './neighbors/issue-kinds';
import { scoresOf } from './scores/score-document';
import type { ScoreDocument } from './scores/score-document';

/** Bars of the histogram. */
const bars = 40;
/** Most points of the map that are drawn: more cover each other. */
const maxPoints = 3000;

/** How often each part of the range of scores occurs. */
export interface ScoreHistogram {
  readonly low: number;
  readonly high: number;
  readonly counts: readonly number[];
  /** Examples with an infinite score, which stand in no bar. */
  readonly infinite: number;
}

/** One example on the confidence–variability map (Swayamdipta et al. 2020, arXiv 2009.10795, § 2). */
export interface MapPoint {
  readonly index: number;
  readonly confidence: number;
  readonly variability: number;
  readonly correctness: number;
}

/** One example on the map of the embedding. */
export interface PlacedPoint {
  readonly index: number;
  readonly x: number;
  readonly y: number;
  /** Number of its class; absent where it is not known. */
  readonly label?: number;
  /** Null is infinite. */
  readonly score: number | null;
  readonly issues: readonly IssueKind[];
}

export interface ClassCounts {
  readonly name: string;
  readonly examples: number;
  /** Absent where label issues are not known. */
  readonly suspected?: number;
  /** The class that is predicted instead most often where the label is suspected, and how often. */
  readonly confused?: { readonly label: number; readonly examples: number };
  /** Mean of the finite scores; absent where there is none. */
  readonly meanScore?: number;
}

/** What is to be seen of scores without looking at single examples. */
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
  /** A random sample where there are many; empty where training dynamics are not known. */
  readonly points: readonly MapPoint[];
  /** Examples that training dynamics are known of. */
  readonly mapped: number;
  /** Empty where labels are not known. */
  readonly classes: readonly ClassCounts[];
  /** Examples that each known kind of issue leaves out. */
  readonly issues: Readonly<Partial<Record<IssueKind, number>>>;
  /** The map of the embedding; absent where there is none. */
  readonly embedding?: {
    readonly layer: string;
    readonly layout: Layout;
    /** A random sample where there are many. */
    readonly points: readonly PlacedPoint[];
  };
}

/** @param name what people call the data set, or the file of scores that do not say of what they are */
export function overviewOf(
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
    histogram: histogramOf(scoresOf(document)),
    points: pointsOf(document),
    mapped: document.confidence.length,
    classes: classCounts(document),
    issues: Object.fromEntries(issues.known.map((kind) => [kind, issues.affected(kind).length])),
    ...(embedding === undefined
      ? {}
      : {
          embedding: {
            layer: embedding.layer,
            layout: embedding.layout,
            points: placesOf(document, issues),
          },
        }),
  };
}

function placesOf({ labels, scores, examples }: ScoreDocument, issues: DataIssues): PlacedPoint[] {
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

export function histogramOf(scores: Float64Array): ScoreHistogram {
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

function pointsOf({ confidence, variability, correctness }: ScoreDocument): MapPoint[] {
  return choose(maxPoints, confidence.length, seededRandom(0)).map((index) => ({
    index,
    confidence: confidence[index] ?? 0,
    variability: variability[index] ?? 0,
    correctness: correctness[index] ?? 0,
  }));
}

/** What is known of each class; empty where labels are not known. */
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
