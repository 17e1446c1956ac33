import type { DatasetOptions } from '../data/datasets/dataset';
import { choose, seededRandom } from '../data/random';
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

export interface ClassCounts {
  readonly name: string;
  readonly examples: number;
  /** Absent where label issues are not known. */
  readonly suspected?: number;
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
  /** Suspected label errors; absent where they are not known. */
  readonly suspected?: number;
}

/** @param name what people call the data set, or the file of scores that do not say of what they are */
export function overviewOf(document: ScoreDocument, name: string): ScoreOverview {
  const { score, examples, notes, scoring, dataset, labelIssues } = document;
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
    ...(labelIssues.length === 0 ? {} : { suspected: sumOf(labelIssues) }),
  };
}

const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

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

function classCounts({ classNames, labels, labelIssues, scores }: ScoreDocument): ClassCounts[] {
  const counts = classNames.map(() => ({ examples: 0, suspected: 0, finite: 0, sum: 0 }));
  labels.forEach((label, i) => {
    const count = counts[label];
    if (count === undefined) {
      return;
    }
    count.examples++;
    count.suspected += labelIssues[i] ?? 0;
    const score = scores[i] ?? null;
    if (score !== null) {
      count.finite++;
      count.sum += score;
    }
  });
  return labels.length === 0
    ? []
    : classNames.map((name, i) => {
        const { examples = 0, suspected = 0, finite = 0, sum = 0 } = counts[i] ?? {};
        return {
          name,
          examples,
          ...(labelIssues.length === 0 ? {} : { suspected }),
          ...(finite === 0 ? {} : { meanScore: sum / finite }),
        };
      });
}
