import type { Metric } from './metrics';
import { blockRows } from './slices';
import type { BlockTerms, Slice } from './slices';

/** Fewer sequences do not tell how much they differ. */
const leastSequences = 3;
/** How much greater errors are for that than blocks of one sequence tell (SmolLM2-135M 1.5, the sample 1.8). */
const sequenceEffect = 1.6;

/** Terms of neighbouring rows. */
interface Block {
  readonly sequence: number;
  readonly rows: number;
  readonly sum: number;
}

/** A total over all rows as estimated from some, with its standard error for text like the one measured. */
export interface Estimate {
  readonly total: number;
  readonly standardError: number;
  readonly blocks: number;
  readonly sequences: number;
  /** Share of all rows that were measured. */
  readonly share: number;
}

/** The logarithm of a ratio, with its standard error for text like the one measured. */
export interface LogRatio {
  readonly value: number;
  readonly standardError: number;
}

/** A distance, exact where all rows were measured; without an error where too few tell it. */
export interface EstimatedDistance {
  readonly distance: number;
  readonly standardError?: number;
}

/** What was measured of one change of a model, slice by slice. */
export class TermSample {
  private readonly blocks: Block[] = [];
  private readonly allRows: number;

  /** @param rowCounts rows of each sequence that there is to measure */
  public constructor(
    private readonly metric: Metric,
    private readonly rowCounts: readonly number[],
  ) {
    this.allRows = rowCounts.reduce((sum, rows) => sum + rows, 0);
  }

  public add({ sequence, from, to }: Slice, terms: BlockTerms): void {
    terms.forEach((sum, i) => {
      this.blocks.push({ sequence, sum, rows: Math.min(blockRows, to - from - i * blockRows) });
    });
  }

  /** Rows measured so far. */
  public get rows(): number {
    return rowsIn(this.blocks);
  }

  public get isComplete(): boolean {
    return this.rows === this.allRows;
  }

  /** The total over sequences as far as known: no more than the whole, as terms are not negative. */
  public get total(): number {
    const sums = [...sumsOf(this.blocks).values()];
    return sums.reduce((total, { sum }) => total + this.metric.sequenceTerm(sum), 0);
  }

  /** The total as estimated from the rows measured. */
  public estimate(): Estimate {
    return this.estimateFrom(this.shares());
  }

  /** How much greater its total is than another's, from the rows both were measured on in the same order. */
  public difference(other: TermSample): Estimate {
    const theirs = other.shares();
    const paired = this.shares().slice(0, theirs.length);
    return this.estimateFrom(
      paired.map((block, i) => ({ ...block, sum: block.sum - (theirs[i]?.sum ?? 0) })),
    );
  }

  /**
   * The distance over all rows.
   * @param correction what totals are multiplied by
   */
  public distance(correction = 1): EstimatedDistance {
    const estimate = this.estimate();
    const total = (this.isComplete ? this.total : estimate.total) * correction;
    return this.estimated(total, errorForText(estimate) * correction);
  }

  /**
   * The distance over all rows by that of another change of the same place, which was measured on all of them: the
   * ratio of the two hardly depends on the rows, while each by itself does (ratio estimation from two phases,
   * Cochran, Sampling Techniques, § 12.8). Its error is that against all rows, so without any once it has them.
   */
  public distanceBy(reference: TermSample): EstimatedDistance {
    if (this.isComplete) {
      return { distance: this.toDistance(this.total) };
    }
    const { ratio, theirSum, rest } = this.over(reference);
    if (theirSum === 0) {
      return this.distance();
    }
    const scale = (reference.total / theirSum) * rest.share * Math.sqrt(1 - rest.share);
    return this.estimated(ratio * reference.total, errorForText(rest) * scale);
  }

  /**
   * How its total compares with another's, from the rows both were measured on in the same order: what makes a row
   * hard for both cancels out. A total of nothing is infinitely less, without an error.
   */
  public logRatio(reference: TermSample): LogRatio {
    const { sum, ratio, rest } = this.over(reference);
    const error = sum === 0 ? 0 : (errorForText(rest) * rest.share) / sum;
    return { value: Math.log(ratio), standardError: error };
  }

  /** The distance over the first `few` rows alone. */
  public distanceOfFirst(few: number): number {
    const first = this.blocks.slice(0, Math.ceil(few / blockRows));
    const sum = first.reduce((total, block) => total + block.sum, 0);
    return this.metric.distance(this.metric.sequenceTerm(sum), 1, few);
  }

  /** The ratio of its sum to another's over the same rows, and what that ratio leaves of its blocks. */
  private over(reference: TermSample): {
    readonly sum: number;
    readonly theirSum: number;
    readonly ratio: number;
    readonly rest: Estimate;
  } {
    const theirs = reference.shares().slice(0, this.blocks.length);
    const own = this.shares();
    const [sum, theirSum] = [sumIn(own), sumIn(theirs)];
    const ratio = sum / theirSum;
    const rests = own.map((block, i) => ({
      ...block,
      sum: block.sum - ratio * (theirs[i]?.sum ?? 0),
    }));
    return { sum, theirSum, ratio, rest: this.estimateFrom(rests) };
  }

  private estimated(total: number, error: number): EstimatedDistance {
    const half = (this.toDistance(total + error) - this.toDistance(total - error)) / 2;
    return {
      distance: this.toDistance(total),
      ...(Number.isFinite(half) ? { standardError: half } : {}),
    };
  }

  public toDistance(total: number): number {
    const count = this.rowCounts.length;
    return this.metric.distance(total, count, this.allRows / Math.max(1, count));
  }

  /** Blocks, each with what it adds to the total: its part of its sequence's term. */
  private shares(): readonly Block[] {
    const { metric, rowCounts, blocks } = this;
    const scales = new Map(
      [...sumsOf(blocks)].map(([sequence, { rows, sum }]) => {
        const whole = (sum * (rowCounts[sequence] ?? rows)) / rows;
        return [sequence, whole === 0 ? 0 : metric.sequenceTerm(whole) / whole];
      }),
    );
    return blocks.map((block) => ({
      ...block,
      sum: block.sum * (scales.get(block.sequence) ?? 0),
    }));
  }

  /** The ratio estimator, its error the greater of that over blocks and that over sequences. */
  private estimateFrom(blocks: readonly Block[]): Estimate {
    const rows = rowsIn(blocks);
    const perRow = sumIn(blocks) / rows;
    const sequences = [...sumsOf(blocks).values()];
    const error = Math.max(
      errorOfSum(blocks, perRow),
      sequences.length < leastSequences ? 0 : errorOfSum(sequences, perRow),
    );
    return {
      total: perRow * this.allRows,
      standardError: (error * this.allRows) / rows,
      blocks: blocks.length,
      sequences: sequences.length,
      share: rows / this.allRows,
    };
  }
}

/** An estimate's standard error for other text, where few sequences tell little of it. */
function errorForText({ standardError, sequences }: Estimate): number {
  return sequences < leastSequences ? standardError * sequenceEffect : standardError;
}

/** Standard error of the parts' sum, were they drawn at random. */
function errorOfSum(
  parts: readonly { readonly rows: number; readonly sum: number }[],
  perRow: number,
): number {
  const squares = parts.reduce((sum, one) => sum + (one.sum - perRow * one.rows) ** 2, 0);
  return Math.sqrt((squares * parts.length) / (parts.length - 1));
}

function sumIn(blocks: readonly Block[]): number {
  return blocks.reduce((sum, block) => sum + block.sum, 0);
}

function rowsIn(blocks: readonly Block[]): number {
  return blocks.reduce((sum, { rows }) => sum + rows, 0);
}

function sumsOf(blocks: readonly Block[]): ReadonlyMap<number, { rows: number; sum: number }> {
  const sums = new Map<number, { rows: number; sum: number }>();
  for (const { sequence, rows, sum } of blocks) {
    const known = sums.get(sequence) ?? { rows: 0, sum: 0 };
    sums.set(sequence, { rows: known.rows + rows, sum: known.sum + sum });
  }
  return sums;
}
