import type { Candidate } from '../candidates';
import type { RoundMeasurements } from '../round-measurements';

/** Increase of the distance by a removal: over all rows, and over the surrogate's rows. */
interface Gain {
  readonly over: number;
  readonly seen: number;
}

/** Prediction of the surrogate for a candidate. */
export interface Prediction {
  readonly distance: number;
  /** Rounds since the candidate was measured. */
  readonly age: number;
}

const nothing: Gain = { over: 0, seen: 0 };

/** Number of additional measured rows that have the same weight as the previous estimate. */
const typicalRows = 256;
/** Ages of initial pseudo-observations in the trend, with correct predictions. */
const trustedAges = [1, 8];

/**
 * Calibrates surrogate predictions with measurements. The surrogate covers only some rows: the increase over all rows
 * is estimated as a typical ratio times the increase over the surrogate's rows, plus a candidate's measured excess.
 * Predictions get less accurate with age: the trend of log(measured / predicted) over age is removed.
 */
export class Expectations {
  /** Measured increase of each candidate over all rows beyond the typical ratio. */
  private readonly excesses = new Map<string, number>();
  /** Distances of the current model. */
  private base: Gain | undefined;
  /** Sums that define the typical ratio. */
  private over = 0;
  private seen = 0;
  private readonly trend = new Trend();

  /** @param isDivergence true if the original's distance is 0; otherwise the smallest distance replaces it */
  public constructor(isDivergence: boolean) {
    this.base = isDivergence ? nothing : undefined;
    for (const age of trustedAges) {
      this.trend.add(age, 0);
    }
  }

  /**
   * Learns from a round's distances before its winner is removed.
   * @param predictions by candidate id
   */
  public learn(
    measurements: RoundMeasurements,
    candidates: readonly Candidate[],
    seenRows: number,
    predictions: ReadonlyMap<string, Prediction>,
  ): void {
    const measured = candidates
      .filter((candidate) => measurements.isMeasured(candidate))
      .map((candidate) => ({
        id: candidate.id,
        ...measurements.partialDistances(candidate, seenRows),
      }))
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
      this.excesses.set(id, weight * excess + (1 - weight) * this.excess(id));
    }
  }

  /** Removes the round's winner from the current model. */
  public commit(winner: Candidate, measurements: RoundMeasurements, seenRows: number): void {
    this.base = measurements.partialDistances(winner, seenRows);
  }

  /** Expected distance after removing a candidate, from the surrogate's prediction. */
  public expectedFromPrediction(id: string, { distance, age }: Prediction): number {
    return this.expectedFromSeenRows(id, distance * Math.exp(this.trend.at(age)));
  }

  /** Expected distance after removing a candidate, from its measured distance over the surrogate's rows. */
  public expectedFromSeenRows(id: string, seen: number): number {
    return this.expectedFromModel(seen) + this.excess(id);
  }

  /** Expected distance of any further pruned model, from the surrogate's prediction. */
  public expectedFromModel(predicted: number): number {
    const base = this.base ?? nothing;
    return base.over + this.proportion * (predicted - base.seen);
  }

  private excess(id: string): number {
    return this.excesses.get(id) ?? 0;
  }

  private get proportion(): number {
    return this.over > 0 && this.seen > 0 ? this.over / this.seen : 1;
  }
}

/** Least-squares line through points. */
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
