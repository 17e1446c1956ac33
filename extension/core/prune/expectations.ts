import type { Candidate } from './candidates';
import type { Tally } from './tally';

/** What a removal adds to the distance: over all rows, and over those that the surrogate sees. */
interface Gain {
  readonly over: number;
  readonly seen: number;
}

const nothing: Gain = { over: 0, seen: 0 };

/** Rows measured beyond the surrogate's own at which these count as much as what is typical. */
const typicalRows = 32;

/**
 * Corrects a surrogate by what was measured. The rows that it sees are not the whole text: what a
 * candidate was last measured to add over all rows stands, moved by as much as the surrogate says that
 * it has changed since, in the proportion of all rows to those that has been typical.
 */
export class Expectations {
  private readonly gains = new Map<string, Gain>();
  /** Distances of the model as it is. */
  private base: Gain | undefined;
  /** Sums behind the typical proportion. */
  private over = 0;
  private seen = 0;

  /** @param isDivergence whether the original's distance is 0; else the least one stands for it */
  public constructor(isDivergence: boolean) {
    this.base = isDivergence ? nothing : undefined;
  }

  /** Learns a round's distances before its winner is removed. */
  public learn(tally: Tally, candidates: readonly Candidate[], seenRows: number): void {
    const measured = candidates
      .filter((candidate) => tally.isMeasured(candidate))
      .map((candidate) => ({ id: candidate.id, ...tally.distancesOf(candidate, seenRows) }));
    const base = this.base ?? {
      over: Math.min(...measured.map(({ over }) => over)),
      seen: Math.min(...measured.map(({ seen }) => seen)),
    };
    this.base = base;
    for (const { rows, over, seen } of measured) {
      this.over += (rows - seenRows) * (over - base.over);
      this.seen += (rows - seenRows) * (seen - base.seen);
    }
    for (const { id, rows, over, seen } of measured) {
      const weight = (rows - seenRows) / (rows - seenRows + typicalRows);
      const seenGain = seen - base.seen;
      this.gains.set(id, {
        over: weight * (over - base.over) + (1 - weight) * this.proportion * seenGain,
        seen: seenGain,
      });
    }
  }

  /** Goes on from the model without the round's winner. */
  public commit(winner: Candidate, tally: Tally, seenRows: number): void {
    this.base = tally.distancesOf(winner, seenRows);
  }

  /** Expected distance of the model without a candidate that the surrogate gives a distance. */
  public ofCandidate(id: string, predicted: number): number {
    const gain = this.gains.get(id) ?? nothing;
    return this.ofModel(predicted) + gain.over - this.proportion * gain.seen;
  }

  /** Expected distance of any model that lacks more, from the surrogate's. */
  public ofModel(predicted: number): number {
    const base = this.base ?? nothing;
    return base.over + this.proportion * (predicted - base.seen);
  }

  private get proportion(): number {
    return this.over > 0 && this.seen > 0 ? this.over / this.seen : 1;
  }
}
