import type { Candidate } from '../candidates';
import type { Tally } from '../tally';

/** What a removal adds to the distance: over all rows, and over those that the surrogate sees. */
interface Gain {
  readonly over: number;
  readonly seen: number;
}

/** What the surrogate said of a candidate. */
export interface Prediction {
  readonly distance: number;
  /** Rounds since the candidate was measured. */
  readonly age: number;
}

const nothing: Gain = { over: 0, seen: 0 };

/** Rows measured beyond the surrogate's own at which these count as much as what was known before. */
const typicalRows = 256;
/** Ages at which the trend begins with one prediction that was right. */
const trustedAges = [1, 8];

/**
 * Corrects a surrogate by what was measured. The rows that it sees are not the whole text: what removals
 * add over all rows is in a typical proportion to what they add over those, and what a candidate was
 * measured to add beyond that stands until it is measured on more than the surrogate's rows again. And
 * a prediction is the further off the longer ago the surrogate learned of a candidate: the trend of
 * log(measured / predicted) by age is taken out.
 */
export class Expectations {
  /** What each candidate adds over all rows beyond the typical proportion of what it adds over those seen. */
  private readonly excesses = new Map<string, number>();
  /** Distances of the model as it is. */
  private base: Gain | undefined;
  /** Sums behind the typical proportion. */
  private over = 0;
  private seen = 0;
  private readonly trend = new Trend();

  /** @param isDivergence whether the original's distance is 0; else the least one stands for it */
  public constructor(isDivergence: boolean) {
    this.base = isDivergence ? nothing : undefined;
    for (const age of trustedAges) {
      this.trend.add(age, 0);
    }
  }

  /**
   * Learns a round's distances before its winner is removed.
   * @param predictions by candidate id
   */
  public learn(
    tally: Tally,
    candidates: readonly Candidate[],
    seenRows: number,
    predictions: ReadonlyMap<string, Prediction>,
  ): void {
    const measured = candidates
      .filter((candidate) => tally.isMeasured(candidate))
      .map((candidate) => ({ id: candidate.id, ...tally.distancesOf(candidate, seenRows) }))
      .filter(({ over, seen }) => Number.isFinite(over) && Number.isFinite(seen));
    const base = this.base ?? {
      over: Math.min(...measured.map(({ over }) => over)),
      seen: Math.min(...measured.map(({ seen }) => seen)),
    };
    this.base = base;
    for (const { id, rows, over, seen } of measured) {
      this.over += (rows - seenRows) * (over - base.over);
      this.seen += (rows - seenRows) * (seen - base.seen);
      const { distance = seen, age = 1 } = predictions.get(id) ?? {};
      if (predictions.has(id) && seen > 0 && distance > 0) {
        this.trend.add(age, Math.log(seen / distance));
      }
    }
    for (const { id, rows, over, seen } of measured) {
      const weight = (rows - seenRows) / (rows - seenRows + typicalRows);
      const excess = over - base.over - this.proportion * (seen - base.seen);
      this.excesses.set(id, weight * excess + (1 - weight) * this.excessOf(id));
    }
  }

  /** Goes on from the model without the round's winner. */
  public commit(winner: Candidate, tally: Tally, seenRows: number): void {
    this.base = tally.distancesOf(winner, seenRows);
  }

  /** Expected distance of the model without a candidate, from the surrogate's. */
  public ofPrediction(id: string, { distance, age }: Prediction): number {
    return this.ofSeen(id, distance * Math.exp(this.trend.at(age)));
  }

  /** The same, once its distance over the surrogate's rows is measured. */
  public ofSeen(id: string, seen: number): number {
    return this.ofModel(seen) + this.excessOf(id);
  }

  /** Expected distance of any model that lacks more, from the surrogate's. */
  public ofModel(predicted: number): number {
    const base = this.base ?? nothing;
    return base.over + this.proportion * (predicted - base.seen);
  }

  private excessOf(id: string): number {
    return this.excesses.get(id) ?? 0;
  }

  private get proportion(): number {
    return this.over > 0 && this.seen > 0 ? this.over / this.seen : 1;
  }
}

/** A straight line through points, by least squares. */
class Trend {
  private count = 0;
  private x = 0;
  private y = 0;
  private xx = 0;
  private xy = 0;

  public add(x: number, y: number): void {
    this.count++;
    this.x += x;
    this.y += y;
    this.xx += x * x;
    this.xy += x * y;
  }

  public at(x: number): number {
    const slope =
      (this.count * this.xy - this.x * this.y) / (this.count * this.xx - this.x * this.x);
    return this.y / this.count + slope * (x - this.x / this.count);
  }
}
