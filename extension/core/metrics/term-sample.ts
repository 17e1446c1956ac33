import type { Metric } from './metrics';
import { blockRows } from './slices';
import type { BlockTerms, Slice } from './slices';

/** Sequences needed to estimate the variance between sequences. */
const leastSequences = 3;
/** Ratio of errors over sequences to errors over blocks of one sequence (SmolLM2-135M 1.5, the sample 1.8). */
const sequenceEffect = 1.6;

/** Sum of the terms of neighboring rows. */
interface Block {
  readonly sequence: number;
  readonly rows: number;
  readonly sum: number;
}

/** Total over all rows, estimated from some, with its standard error for similar text. */
export interface Estimate {
  readonly total: number;
  readonly standardError: number;
  readonly blocks: number;
  readonly sequences: number;
  /** Measured share of all rows. */
  readonly share: number;
}

/** Logarithm of a ratio, with its standard error for similar text. */
export interface LogRatio {
  readonly value: number;
  readonly standardError: number;
}

/** Distance; exact if all rows were measured, without an error if there are too few rows to estimate it. */
export interface EstimatedDistance {
  readonly distance: number;
  readonly standardError?: number;
}

/** Measured terms of one change of a model, slice by slice. */
export class TermSample {
  private readonly blocks: Block[] = [];
  private readonly allRows: number;

  /** @param rowCounts number of rows of each sequence */
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

  /** Number of rows measured so far. */
  public get rows(): number {
    return rowsIn(this.blocks);
  }

  public get isComplete(): boolean {
    return this.rows === this.allRows;
  }

  /** Lower bound of the total over sequences; terms are never negative. */
  public get total(): number {
    const sums = [...sequenceSums(this.blocks).values()];
    return sums.reduce((total, { sum }) => total + this.metric.sequenceTerm(sum), 0);
  }

  /** Total over all rows, estimated from the measured rows. */
  public estimate(): Estimate {
    return this.estimateFrom(this.shares());
  }

  /** Estimated difference of its total and another's, from the rows that both were measured on in the same order. */
  public difference(other: TermSample): Estimate {
    const theirs = other.shares();
    const paired = this.shares().slice(0, theirs.length);
    return this.estimateFrom(
      paired.map((block, i) => ({ ...block, sum: block.sum - (theirs[i]?.sum ?? 0) })),
    );
  }

  /**
   * Distance over all rows.
   * @param correction factor of the total
   */
  public distance(correction = 1): EstimatedDistance {
    const estimate = this.estimate();
    const total = (this.isComplete ? this.total : estimate.total) * correction;
    return this.estimated(total, errorForText(estimate) * correction);
  }

  /**
   * Distance over all rows, from that of a reference change of the same sublayer measured on all rows: the ratio of the
   * two varies little between rows, unlike the distances (ratio estimation with two phases, Cochran, Sampling
   * Techniques, § 12.8). The error is relative to the value over all rows, so it is undefined if all rows were
   * measured.
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
   * Logarithm of the ratio of its total to another's, from the rows that both were measured on in the same order; how
   * hard a row is cancels out. −∞ without an error if its total is 0.
   */
  public logRatio(reference: TermSample): LogRatio {
    const { sum, ratio, rest } = this.over(reference);
    const error = sum === 0 ? 0 : (errorForText(rest) * rest.share) / sum;
    return { value: Math.log(ratio), standardError: error };
  }

  /** Distance over the first `few` rows. */
  public distanceOfFirst(few: number): number {
    const first = this.blocks.slice(0, Math.ceil(few / blockRows));
    const sum = first.reduce((total, block) => total + block.sum, 0);
    return this.metric.distance(this.metric.sequenceTerm(sum), 1, few);
  }

  /** Ratio of its sum to another's over the same rows, and the residuals of its blocks. */
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

  /** Blocks with their contributions to the total, a part of their sequence's term. */
  private shares(): readonly Block[] {
    const { metric, rowCounts, blocks } = this;
    const scales = new Map(
      [...sequenceSums(blocks)].map(([sequence, { rows, sum }]) => {
        const whole = (sum * (rowCounts[sequence] ?? rows)) / rows;
        return [sequence, whole === 0 ? 0 : metric.sequenceTerm(whole) / whole];
      }),
    );
    return blocks.map((block) => ({
      ...block,
      sum: block.sum * (scales.get(block.sequence) ?? 0),
    }));
  }

  /** Ratio estimator; its error is the larger of the errors over blocks and over sequences. */
  private estimateFrom(blocks: readonly Block[]): Estimate {
    const rows = rowsIn(blocks);
    const perRow = sumIn(blocks) / rows;
    const sequences = [...sequenceSums(blocks).values()];
    const error = Math.max(
      sumError(blocks, perRow),
      sequences.length < leastSequences ? 0 : sumError(sequences, perRow),
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

/** Standard error for other text, enlarged if there are too few sequences. */
function errorForText({ standardError, sequences }: Estimate): number {
  return sequences < leastSequences ? standardError * sequenceEffect : standardError;
}

/** Standard error of the sum of the parts, treated as a random sample. */
function sumError(
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

function sequenceSums(
  blocks: readonly Block[],
): ReadonlyMap<number, { rows: number; sum: number }> {
  const sums = new Map<number, { rows: number; sum: number }>();
  for (const { sequence, rows, sum } of blocks) {
    const known = sums.get(sequence) ?? { rows: 0, sum: 0 };
    sums.set(sequence, { rows: known.rows + rows, sum: known.sum + sum });
  }
  return sums;
}
