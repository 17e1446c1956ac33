import type { Metric } from '../metrics/metrics';
import type { BlockTerms, Slice } from '../metrics/slices';
import { TermSample } from '../metrics/term-sample';
import type { Estimate } from '../metrics/term-sample';
import type { Vocabulary } from '../metrics/vocabulary-sums';
import type { Candidate } from './candidates';
import type { CandidateDistance } from './layer-profile';
import type { Scorer } from './scorer';

/** Inputs for a round's distances. */
interface RoundMeasurementsSetup {
  readonly scorer: Scorer;
  readonly metric: Metric;
  /** Name of the round in the journal. */
  readonly step: string;
  /** Candidates to measure, in model order. */
  readonly candidates: readonly Candidate[];
  /** Rows of each calibration sequence. */
  readonly rows: readonly number[];
  /** True if distances are reported as estimates from some rows, or from a part of the vocabulary. */
  readonly estimates?: boolean;
  readonly onDistance: (distance: CandidateDistance) => void;
}

/** Measurement of a candidate on a slice: its terms, bounds of them, or both. */
interface MeasuredSlice {
  readonly slice: Slice;
  readonly terms?: BlockTerms;
  readonly bounds?: BlockTerms;
}

/** Measurements of a candidate by slice. */
type Measured = ReadonlyMap<string, MeasuredSlice>;

/** Running totals of one round. */
export class RoundMeasurements {
  /** Measurements by candidate id and slice. All candidates use slices in the same order. */
  private readonly slices = new Map<string, Map<string, MeasuredSlice>>();
  /** All slices of a candidate combined, with bounds if there are no terms. */
  private readonly samples = new Map<string, TermSample>();
  /** Ratio of a candidate's distance over the whole vocabulary to its estimate from a part. */
  private correction = 1;

  public constructor(private readonly setup: RoundMeasurementsSetup) {}

  /**
   * Measures candidates on slices on which they have not been measured.
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

  /** Measures candidates like {@link measure}, but only bounds of terms if the scorer supports them. */
  public async bound(
    candidates: readonly Candidate[],
    slices: readonly Slice[],
    ahead: readonly Slice[] = [],
  ): Promise<void> {
    await this.take('bounded', candidates, slices, ahead);
  }

  /**
   * Measures a candidate over the whole vocabulary on all or the first of its slices. Scales the estimates of all
   * candidates by the same factor, since they share most of the error of a vocabulary sample or an int8 copy of the
   * model. With a copy and a large vocabulary, the two errors are measured one after the other: that of the sample varies less
   * between rows, so that fewer rows are read over the whole vocabulary (ratio estimation with two phases).
   * @returns true if its total is finite. If not, that becomes the candidate's total, and no other estimates change.
   */
  public async confirm(candidate: Candidate, slices: readonly Slice[]): Promise<boolean> {
    const { scorer, step, onDistance } = this.setup;
    const few = firstSlices(slices, scorer.wholeRows ?? Number.POSITIVE_INFINITY);
    const sampled =
      few.length === slices.length
        ? undefined
        : await measureLongestFirst(slices, async (order) =>
            scorer.modelTerms?.(step, candidate, order, 'sampled'),
          );
    const whole = await measureLongestFirst(few, async (order) => {
      const [terms] = await scorer.terms(step, [candidate], order, 'whole');
      return terms;
    });
    const known: Measured = this.slices.get(candidate.id) ?? new Map<string, MeasuredSlice>();
    const own = new Map([...(sampled ?? []), ...whole]);
    const found = this.sampleOf(slices, own);
    const isFinite = Number.isFinite(found.total);
    if (isFinite) {
      this.correction =
        sampled === undefined
          ? this.ratio(slices, whole, known)
          : this.ratio(slices, sampled, known) * this.ratio(few, whole, sampled);
    } else {
      this.slices.set(candidate.id, own);
      this.samples.set(candidate.id, found);
    }
    onDistance(this.distance(candidate));
    return isFinite;
  }

  /** Known total over sequences: a lower bound of the full total, as terms are not negative. */
  public total(candidate: Candidate): number {
    return this.sample(candidate).total;
  }

  /** Known totals by candidate id. */
  public get totals(): ReadonlyMap<string, number> {
    const measured = this.setup.candidates.filter((candidate) => this.isMeasured(candidate));
    return new Map(measured.map((candidate) => [candidate.id, this.total(candidate)]));
  }

  public isMeasured({ id }: Candidate): boolean {
    return this.samples.has(id);
  }

  public isComplete(candidate: Candidate): boolean {
    const own = this.slices.get(candidate.id)?.values() ?? [];
    return this.sample(candidate).isComplete && [...own].every(({ terms }) => terms !== undefined);
  }

  /** Estimated total from the measured rows. */
  public estimate(candidate: Candidate): Estimate {
    return this.sample(candidate).estimate();
  }

  /** Difference of two candidates' totals, from rows on which both were measured. */
  public difference(candidate: Candidate, other: Candidate): Estimate {
    const [mine, theirs] = [this.newSample(), this.newSample()];
    for (const [key, own] of this.slices.get(candidate.id) ?? []) {
      const their = this.slices.get(other.id)?.get(key);
      // Compares bounds only with bounds, because both underestimate alike.
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
    return this.setup.candidates.map((candidate) => this.distance(candidate));
  }

  public distance(candidate: Candidate): CandidateDistance {
    const sublayer = candidate.id;
    if (!this.isMeasured(candidate)) {
      return { sublayer, distance: null };
    }
    const sample = this.sample(candidate);
    if (this.isComplete(candidate) || this.setup.estimates === true) {
      const found = sample.distance(this.correction);
      // JSON can't store numbers that are not finite.
      return Number.isFinite(found.distance)
        ? { sublayer, ...found }
        : { sublayer, distance: null };
    }
    const atLeast = sample.toDistance(sample.total);
    return { sublayer, distance: null, ...(Number.isFinite(atLeast) ? { atLeast } : {}) };
  }

  /** Measured rows of a candidate, its distance over all rows, and over the first `few` alone. */
  public partialDistances(
    candidate: Candidate,
    few: number,
  ): { readonly rows: number; readonly over: number; readonly seen: number } {
    const sample = this.sample(candidate);
    return {
      rows: sample.rows,
      over: this.distance(candidate).distance ?? Number.NaN,
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
      slices.some((slice) => this.slices.get(id)?.get(sliceKey(slice))?.[kind] === undefined),
    );
    const found = await scorer.terms(step, open, slices, vocabulary, ahead);
    open.forEach((candidate, i) => {
      const own = this.slices.get(candidate.id) ?? new Map<string, MeasuredSlice>();
      slices.forEach((slice, j) => {
        const key = sliceKey(slice);
        own.set(key, { ...own.get(key), slice, [kind]: found[i]?.[j] ?? [] });
      });
      this.slices.set(candidate.id, own);
      // Terms replace bounds, so that sums are always added in the same order.
      const sample = this.newSample();
      own.forEach(({ slice, bounds = [], terms = bounds }) => {
        sample.add(slice, terms);
      });
      this.samples.set(candidate.id, sample);
      if (estimates === true || (kind === 'terms' && this.isComplete(candidate))) {
        onDistance(this.distance(candidate));
      }
    });
  }

  /** Ratio of two totals over some slices; 1 if the second is 0. */
  private ratio(slices: readonly Slice[], above: Measured, below: Measured): number {
    const { total } = this.sampleOf(slices, below);
    return total === 0 ? 1 : this.sampleOf(slices, above).total / total;
  }

  private sampleOf(slices: readonly Slice[], measured: Measured): TermSample {
    const sample = this.newSample();
    slices.forEach((slice) => {
      sample.add(slice, measured.get(sliceKey(slice))?.terms ?? []);
    });
    return sample;
  }

  private sample({ id }: Candidate): TermSample {
    return this.samples.get(id) ?? this.newSample();
  }

  private newSample(): TermSample {
    return new TermSample(this.setup.metric, this.setup.rows);
  }
}

/** The first slices that have at least `rows` rows together; all if they have fewer. */
export function firstSlices(slices: readonly Slice[], rows: number): readonly Slice[] {
  let sum = 0;
  const last = slices.findIndex(({ from, to }) => (sum += to - from) >= rows);
  return last < 0 ? slices : slices.slice(0, last + 1);
}

/** Measures the longest slices first: the others of a sequence then find the final states of their rows. */
async function measureLongestFirst(
  slices: readonly Slice[],
  measure: (order: readonly Slice[]) => Promise<readonly BlockTerms[] | undefined>,
): Promise<Map<string, MeasuredSlice>> {
  const order = [...slices].sort((a, b) => b.to - a.to);
  const found = (await measure(order)) ?? [];
  return new Map(
    order.map((slice, i) => [sliceKey(slice), { slice, terms: found[i] ?? [] }] as const),
  );
}

/** Key of a slice, independent of object identity. */
const sliceKey = ({ sequence, from, to }: Slice): string => `${sequence}|${from}|${to}`;
