import type { Metric } from '../metrics/metrics';
import type { Candidate } from './candidates';
import type { CandidateDistance } from './layer-profile';
import type { Scorer } from './scorer';
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
  readonly onDistance: (distance: CandidateDistance) => void;
}

/** Running totals of one round. */
export class Tally {
  /** Sums of terms by sequence, by candidate id. */
  private readonly sums = new Map<string, Map<number, number>>();
  private readonly seen = new Map<string, number>();
  private readonly allRows: number;

  public constructor(private readonly setup: TallySetup) {
    this.allRows = setup.rows.reduce((sum, rows) => sum + rows, 0);
  }

  /** Measures candidates on slices that they have not been measured on. */
  public async measure(candidates: readonly Candidate[], slices: readonly Slice[]): Promise<void> {
    const { scorer, step, onDistance } = this.setup;
    const terms = await scorer.terms(step, candidates, slices);
    candidates.forEach((candidate, i) => {
      slices.forEach((slice, j) => {
        this.add(candidate, slice, terms[i]?.[j] ?? []);
      });
      if (this.isComplete(candidate)) {
        onDistance(this.distanceOf(candidate));
      }
    });
  }

  /** The total over sequences as far as known: no more than the whole, as terms are not negative. */
  public totalOf({ id }: Candidate): number {
    const { metric } = this.setup;
    const sums = [...(this.sums.get(id)?.values() ?? [])];
    return sums.reduce((total, sum) => total + metric.sequenceTerm(sum), 0);
  }

  /** Totals, or what is known of them, by candidate id. */
  public get totals(): ReadonlyMap<string, number> {
    const measured = this.setup.candidates.filter(({ id }) => this.sums.has(id));
    return new Map(measured.map((candidate) => [candidate.id, this.totalOf(candidate)]));
  }

  public isComplete({ id }: Candidate): boolean {
    return this.seen.get(id) === this.allRows;
  }

  /** In the order of the candidates. */
  public distances(): readonly CandidateDistance[] {
    return this.setup.candidates.map((candidate) => this.distanceOf(candidate));
  }

  public distanceOf(candidate: Candidate): CandidateDistance {
    const sublayer = candidate.id;
    if (!this.seen.has(sublayer)) {
      return { sublayer, distance: null };
    }
    const distance = this.toDistance(this.totalOf(candidate));
    return this.isComplete(candidate)
      ? { sublayer, distance }
      : { sublayer, distance: null, atLeast: distance };
  }

  public toDistance(total: number): number {
    const { rows, metric } = this.setup;
    return metric.distance(total, rows.length, this.allRows / Math.max(1, rows.length));
  }

  private add({ id }: Candidate, { sequence, from, to }: Slice, terms: BlockTerms): void {
    const sums = this.sums.get(id) ?? new Map<number, number>();
    const sum = terms.reduce((total, term) => total + term, sums.get(sequence) ?? 0);
    this.sums.set(id, sums.set(sequence, sum));
    this.seen.set(id, (this.seen.get(id) ?? 0) + to - from);
  }
}
