import type { Metric } from '../metrics/metrics';
import type { BlockTerms, Slice } from '../metrics/slices';
import { TermSample } from '../metrics/term-sample';
import type { Estimate } from '../metrics/term-sample';
import type { Vocabulary } from '../metrics/vocabulary';
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

/** What is known of a candidate on a slice: its terms, bounds of them, or both. */
interface MeasuredSlice {
  readonly slice: Slice;
  readonly terms?: BlockTerms;
  readonly bounds?: BlockTerms;
}

/** Running totals of one round. */
export class Tally {
  /** What was measured of each candidate, by id and slice; all go through slices in the same order. */
  private readonly slices = new Map<string, Map<string, MeasuredSlice>>();
  /** The same in one, bounds where there are no terms. */
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
    const vocabulary = this.setup.estimates === true ? 'sampled' : 'whole';
    await this.take(vocabulary, candidates, slices, ahead);
  }

  /** As {@link measure}, but no more than bounds of the terms where the scorer has some. */
  public async bound(
    candidates: readonly Candidate[],
    slices: readonly Slice[],
    ahead: readonly Slice[] = [],
  ): Promise<void> {
    await this.take('bounded', candidates, slices, ahead);
  }

  /**
   * Measures a candidate over the whole vocabulary on slices it was measured on, all or the first of them. Estimates of all
   * candidates move in proportion: they share most of what a sample of the vocabulary, or an int8 copy of the model, gets wrong.
   * @returns whether its total is finite. Where not, it is the candidate's total from here on, and no others move.
   */
  public async confirm(candidate: Candidate, slices: readonly Slice[]): Promise<boolean> {
    const { scorer, step, onDistance } = this.setup;
    const [terms = []] = await scorer.terms(step, [candidate], slices, 'whole');
    const whole = this.newSample();
    const measured = this.newSample();
    const own = new Map<string, MeasuredSlice>();
    slices.forEach((slice, i) => {
      const key = keyOf(slice);
      measured.add(slice, this.slices.get(candidate.id)?.get(key)?.terms ?? []);
      own.set(key, { slice, terms: terms[i] ?? [] });
      whole.add(slice, terms[i] ?? []);
    });
    const { total } = measured;
    const isFinite = Number.isFinite(whole.total);
    if (isFinite) {
      this.correction = total === 0 ? 1 : whole.total / total;
    } else {
      this.slices.set(candidate.id, own);
      this.samples.set(candidate.id, whole);
    }
    onDistance(this.distanceOf(candidate));
    return isFinite;
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
    const own = this.slices.get(candidate.id)?.values() ?? [];
    return (
      this.sampleOf(candidate).isComplete && [...own].every(({ terms }) => terms !== undefined)
    );
  }

  /** The candidate's total as estimated from the rows that it was measured on. */
  public estimate(candidate: Candidate): Estimate {
    return this.sampleOf(candidate).estimate();
  }

  /** How much greater a candidate's total is than another's, from the rows both were measured on. */
  public difference(candidate: Candidate, other: Candidate): Estimate {
    const [mine, theirs] = [this.newSample(), this.newSample()];
    for (const [key, own] of this.slices.get(candidate.id) ?? []) {
      const their = this.slices.get(other.id)?.get(key);
      // Bounds are held against bounds, which fall short alike.
      const kind = own.terms !== undefined && their?.terms !== undefined ? 'terms' : 'bounds';
      const [a, b] = [own[kind], their?.[kind]];
      if (a !== undefined && b !== undefined) {
        mine.add(own.slice, a);
        theirs.add(own.slice, b);
      }
    }
    return mine.difference(theirs);
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
    if (this.isComplete(candidate) || this.setup.estimates === true) {
      const found = sample.distance(this.correction);
      // A document holds no other numbers.
      return Number.isFinite(found.distance)
        ? { sublayer, ...found }
        : { sublayer, distance: null };
    }
    const atLeast = sample.toDistance(sample.total);
    return { sublayer, distance: null, ...(Number.isFinite(atLeast) ? { atLeast } : {}) };
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

  private async take(
    vocabulary: Vocabulary,
    candidates: readonly Candidate[],
    slices: readonly Slice[],
    ahead: readonly Slice[],
  ): Promise<void> {
    const { scorer, step, onDistance, estimates } = this.setup;
    const kind = vocabulary === 'bounded' && scorer.hasBounds ? 'bounds' : 'terms';
    const open = candidates.filter(({ id }) =>
      slices.some((slice) => this.slices.get(id)?.get(keyOf(slice))?.[kind] === undefined),
    );
    const found = await scorer.terms(step, open, slices, vocabulary, ahead);
    open.forEach((candidate, i) => {
      const own = this.slices.get(candidate.id) ?? new Map<string, MeasuredSlice>();
      slices.forEach((slice, j) => {
        const key = keyOf(slice);
        own.set(key, { ...own.get(key), slice, [kind]: found[i]?.[j] ?? [] });
      });
      this.slices.set(candidate.id, own);
      // Terms take the places of their bounds, so that sums are taken in one order.
      const sample = this.newSample();
      own.forEach(({ slice, bounds = [], terms = bounds }) => {
        sample.add(slice, terms);
      });
      this.samples.set(candidate.id, sample);
      if (estimates === true || (kind === 'terms' && this.isComplete(candidate))) {
        onDistance(this.distanceOf(candidate));
      }
    });
  }

  private sampleOf({ id }: Candidate): TermSample {
    return this.samples.get(id) ?? this.newSample();
  }

  private newSample(): TermSample {
    return new TermSample(this.setup.metric, this.setup.rows);
  }
}

/** Names a slice, whoever made the object. */
const keyOf = ({ sequence, from, to }: Slice): string => `${sequence}|${from}|${to}`;
