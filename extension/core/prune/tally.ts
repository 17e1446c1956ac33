import type { Metric } from '../metrics/metrics';
import type { Candidate } from './candidates';
import type { CandidateDistance } from './layer-profile';
import type { Scorer } from './scorer';
import { blockRows } from './slices';
import type { BlockTerms, Slice } from './slices';

/** What a round's distances are summed from. */
interface TallySetup {
  readonly scorer: Scorer;
  readonly metric: Metric;
  /** Names the round in the journal. */
  readonly step: string;
  /** Candidates whose distance is wanted, in model order. */
  readonly candidates: readonly Candidate[];
  /** Rows of each calibration sequence. */
  readonly rows: readonly number[];
  /** Whether distances are told as estimates before every row is measured. */
  readonly estimates?: boolean;
  readonly onDistance: (distance: CandidateDistance) => void;
}

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
interface Estimate {
  readonly total: number;
  readonly standardError: number;
  readonly blocks: number;
  readonly sequences: number;
  /** Share of all rows that were measured. */
  readonly share: number;
}

/** Running totals of one round. */
export class Tally {
  /** What was measured of each candidate, by id; all go through slices in the same order. */
  private readonly blocks = new Map<string, Block[]>();
  private readonly allRows: number;

  public constructor(private readonly setup: TallySetup) {
    this.allRows = setup.rows.reduce((sum, rows) => sum + rows, 0);
  }

  /** Measures candidates on slices that they have not been measured on. */
  public async measure(candidates: readonly Candidate[], slices: readonly Slice[]): Promise<void> {
    const { scorer, step, onDistance, estimates } = this.setup;
    const terms = await scorer.terms(step, candidates, slices);
    candidates.forEach((candidate, i) => {
      slices.forEach((slice, j) => {
        this.add(candidate, slice, terms[i]?.[j] ?? []);
      });
      if (estimates === true || this.isComplete(candidate)) {
        onDistance(this.distanceOf(candidate));
      }
    });
  }

  /** The total over sequences as far as known: no more than the whole, as terms are not negative. */
  public totalOf(candidate: Candidate): number {
    const { metric } = this.setup;
    const sums = [...sumsOf(this.blocksOf(candidate)).values()];
    return sums.reduce((total, { sum }) => total + metric.sequenceTerm(sum), 0);
  }

  /** Totals, or what is known of them, by candidate id. */
  public get totals(): ReadonlyMap<string, number> {
    const measured = this.setup.candidates.filter(({ id }) => this.blocks.has(id));
    return new Map(measured.map((candidate) => [candidate.id, this.totalOf(candidate)]));
  }

  public isMeasured({ id }: Candidate): boolean {
    return this.blocks.has(id);
  }

  public isComplete(candidate: Candidate): boolean {
    return rowsIn(this.blocksOf(candidate)) === this.allRows;
  }

  /** The candidate's total as estimated from the rows that it was measured on. */
  public estimate(candidate: Candidate): Estimate {
    return this.estimateFrom(this.sharesOf(candidate));
  }

  /** How much greater a candidate's total is than another's, from the rows both were measured on. */
  public difference(candidate: Candidate, other: Candidate): Estimate {
    const theirs = this.sharesOf(other);
    const paired = this.sharesOf(candidate).slice(0, theirs.length);
    return this.estimateFrom(
      paired.map((block, i) => ({ ...block, sum: block.sum - (theirs[i]?.sum ?? 0) })),
    );
  }

  /** In the order of the candidates. */
  public distances(): readonly CandidateDistance[] {
    return this.setup.candidates.map((candidate) => this.distanceOf(candidate));
  }

  public distanceOf(candidate: Candidate): CandidateDistance {
    const sublayer = candidate.id;
    if (!this.blocks.has(sublayer)) {
      return { sublayer, distance: null };
    }
    const atLeast = this.toDistance(this.totalOf(candidate));
    const isComplete = this.isComplete(candidate);
    if (!isComplete && this.setup.estimates !== true) {
      return { sublayer, distance: null, atLeast };
    }
    const { total, standardError, sequences } = this.estimate(candidate);
    const error = sequences < leastSequences ? standardError * sequenceEffect : standardError;
    const half = this.toDistance(total + error) - this.toDistance(total - error);
    return {
      sublayer,
      distance: isComplete ? atLeast : this.toDistance(total),
      ...(Number.isFinite(half) ? { standardError: half / 2 } : {}),
    };
  }

  /** The rows a candidate was measured on, its distance over all rows, and that of the first `few` alone. */
  public distancesOf(
    candidate: Candidate,
    few: number,
  ): { readonly rows: number; readonly over: number; readonly seen: number } {
    const blocks = this.blocksOf(candidate);
    const { metric } = this.setup;
    const first = blocks.slice(0, Math.ceil(few / blockRows));
    const sum = first.reduce((total, block) => total + block.sum, 0);
    return {
      rows: rowsIn(blocks),
      over: this.distanceOf(candidate).distance ?? Number.NaN,
      seen: metric.distance(metric.sequenceTerm(sum), 1, few),
    };
  }

  public toDistance(total: number): number {
    const { rows, metric } = this.setup;
    return metric.distance(total, rows.length, this.allRows / Math.max(1, rows.length));
  }

  private add({ id }: Candidate, { sequence, from, to }: Slice, terms: BlockTerms): void {
    const blocks = this.blocks.get(id) ?? [];
    this.blocks.set(id, blocks);
    terms.forEach((sum, i) => {
      blocks.push({ sequence, sum, rows: Math.min(blockRows, to - from - i * blockRows) });
    });
  }

  private blocksOf({ id }: Candidate): readonly Block[] {
    return this.blocks.get(id) ?? [];
  }

  /** Blocks, each with what it adds to the total: its part of its sequence's term. */
  private sharesOf(candidate: Candidate): readonly Block[] {
    const { metric, rows: allRows } = this.setup;
    const blocks = this.blocksOf(candidate);
    const scales = new Map(
      [...sumsOf(blocks)].map(([sequence, { rows, sum }]) => {
        const whole = (sum * (allRows[sequence] ?? rows)) / rows;
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
    const perRow = blocks.reduce((sum, block) => sum + block.sum, 0) / rows;
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

/** Standard error of the parts' sum, were they drawn at random. */
function errorOfSum(
  parts: readonly { readonly rows: number; readonly sum: number }[],
  perRow: number,
): number {
  const squares = parts.reduce((sum, one) => sum + (one.sum - perRow * one.rows) ** 2, 0);
  return Math.sqrt((squares * parts.length) / (parts.length - 1));
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
