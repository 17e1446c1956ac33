import type { Metric } from '../metrics/metrics';
import type { Slice } from '../metrics/slices';
import { TermSample } from '../metrics/term-sample';
import type { Estimate } from '../metrics/term-sample';
import type { Candidate } from './candidates';
import type { CandidateDistance } from './layer-profile';
import type { Scorer } from './scorer';

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
  /** Whether distances are told as estimates: from some rows, or some ids of the vocabulary. */
  readonly estimates?: boolean;
  readonly onDistance: (distance: CandidateDistance) => void;
}

/** Running totals of one round. */
export class Tally {
  /** What was measured of each candidate, by id; all go through slices in the same order. */
  private readonly samples = new Map<string, TermSample>();
  /** The whole vocabulary's distance, of the candidate that has it, to the one that its ids gave. */
  private correction = 1;

  public constructor(private readonly setup: TallySetup) {}

  /**
   * Measures candidates on slices that they have not been measured on.
   * @param ahead see {@link Scorer.terms}
   */
  public async measure(
    candidates: readonly Candidate[],
    slices: readonly Slice[],
    ahead: readonly Slice[] = [],
  ): Promise<void> {
    const { scorer, step, onDistance, estimates } = this.setup;
    const vocabulary = estimates === true ? 'sampled' : 'whole';
    const terms = await scorer.terms(step, candidates, slices, vocabulary, ahead);
    candidates.forEach((candidate, i) => {
      const sample = this.sampleOf(candidate);
      this.samples.set(candidate.id, sample);
      slices.forEach((slice, j) => {
        sample.add(slice, terms[i]?.[j] ?? []);
      });
      if (estimates === true || sample.isComplete) {
        onDistance(this.distanceOf(candidate));
      }
    });
  }

  /**
   * Measures a candidate over the whole vocabulary on the slices it was measured on. Others share most of
   * what the ids left out, so their estimates move in proportion.
   */
  public async confirm(candidate: Candidate, slices: readonly Slice[]): Promise<void> {
    const { scorer, step, onDistance } = this.setup;
    const [terms = []] = await scorer.terms(step, [candidate], slices, 'whole');
    const whole = this.newSample();
    slices.forEach((slice, i) => {
      whole.add(slice, terms[i] ?? []);
    });
    const { total } = this.sampleOf(candidate);
    this.correction = total === 0 ? 1 : whole.total / total;
    onDistance(this.distanceOf(candidate));
  }

  /** The total over sequences as far as known: no more than the whole, as terms are not negative. */
  public totalOf(candidate: Candidate): number {
    return this.sampleOf(candidate).total;
  }

  /** Totals, or what is known of them, by candidate id. */
  public get totals(): ReadonlyMap<string, number> {
    const measured = this.setup.candidates.filter((candidate) => this.isMeasured(candidate));
    return new Map(measured.map((candidate) => [candidate.id, this.totalOf(candidate)]));
  }

  public isMeasured({ id }: Candidate): boolean {
    return this.samples.has(id);
  }

  public isComplete(candidate: Candidate): boolean {
    return this.sampleOf(candidate).isComplete;
  }

  /** The candidate's total as estimated from the rows that it was measured on. */
  public estimate(candidate: Candidate): Estimate {
    return this.sampleOf(candidate).estimate();
  }

  /** How much greater a candidate's total is than another's, from the rows both were measured on. */
  public difference(candidate: Candidate, other: Candidate): Estimate {
    return this.sampleOf(candidate).difference(this.sampleOf(other));
  }

  /** In the order of the candidates. */
  public distances(): readonly CandidateDistance[] {
    return this.setup.candidates.map((candidate) => this.distanceOf(candidate));
  }

  public distanceOf(candidate: Candidate): CandidateDistance {
    const sublayer = candidate.id;
    if (!this.isMeasured(candidate)) {
      return { sublayer, distance: null };
    }
    const sample = this.sampleOf(candidate);
    return sample.isComplete || this.setup.estimates === true
      ? { sublayer, ...sample.distance(this.correction) }
      : { sublayer, distance: null, atLeast: sample.toDistance(sample.total) };
  }

  /** The rows a candidate was measured on, its distance over all rows, and that of the first `few` alone. */
  public distancesOf(
    candidate: Candidate,
    few: number,
  ): { readonly rows: number; readonly over: number; readonly seen: number } {
    const sample = this.sampleOf(candidate);
    return {
      rows: sample.rows,
      over: this.distanceOf(candidate).distance ?? Number.NaN,
      seen: sample.distanceOfFirst(few),
    };
  }

  public toDistance(total: number): number {
    return this.newSample().toDistance(total);
  }

  private sampleOf({ id }: Candidate): TermSample {
    return this.samples.get(id) ?? this.newSample();
  }

  private newSample(): TermSample {
    return new TermSample(this.setup.metric, this.setup.rows);
  }
}
