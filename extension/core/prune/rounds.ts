import type { Candidate } from './candidates';
import type { CandidateDistance } from './layer-profile';
import type { Metric } from '../metrics/metrics';
import type { Scorer } from './scorer';

/** What a round has to decide, and with what. */
export interface RoundInput {
  readonly scorer: Scorer;
  readonly metric: Metric;
  /** Names the round in the journal. */
  readonly step: string;
  /** Candidates whose distance is wanted, in model order. */
  readonly candidates: readonly Candidate[];
  /** Whether a candidate may win. */
  readonly isEligible: (candidate: Candidate) => boolean;
  /** Number of calibration sequences, and tokens in each. */
  readonly sequences: number;
  readonly length: number;
  /** Lowest total each candidate is expected to have, from earlier rounds, by id. */
  readonly expected: ReadonlyMap<string, number>;
  readonly onDistance: (distance: CandidateDistance) => void;
}

export interface RoundResult {
  /** Undefined when no candidate may be removed. */
  readonly winner: { readonly candidate: Candidate; readonly distance: number } | undefined;
  /** In the order of `candidates`. */
  readonly distances: readonly CandidateDistance[];
  /** Totals, or what is known of them, by candidate id. */
  readonly totals: ReadonlyMap<string, number>;
}

export type Strategy = (input: RoundInput) => Promise<RoundResult>;

/** How far a candidate's partial total may pass the bound before it is dropped: float32 rounding. */
const slack = 1 + 1e-5;

/** Running totals of one round. */
class Tally {
  public readonly totals = new Map<string, number>();
  private readonly seen = new Map<string, number>();

  public constructor(private readonly input: RoundInput) {}

  public async measure(
    candidates: readonly Candidate[],
    sequences: readonly number[],
  ): Promise<void> {
    const { scorer, step } = this.input;
    const terms = await scorer.terms(step, candidates, sequences);
    candidates.forEach((candidate, i) => {
      const sum = (terms[i] ?? []).reduce((total, term) => total + term, this.totalOf(candidate));
      this.totals.set(candidate.id, sum);
      this.seen.set(candidate.id, (this.seen.get(candidate.id) ?? 0) + sequences.length);
      if (this.isComplete(candidate)) {
        this.input.onDistance(this.distanceOf(candidate));
      }
    });
  }

  public totalOf(candidate: Candidate): number {
    return this.totals.get(candidate.id) ?? 0;
  }

  public isComplete(candidate: Candidate): boolean {
    return this.seen.get(candidate.id) === this.input.sequences;
  }

  /** The complete candidate of least total; of equal ones the first in model order. */
  public best(): Candidate | undefined {
    return least(
      this.input.candidates.filter(
        (candidate) => this.input.isEligible(candidate) && this.isComplete(candidate),
      ),
      (candidate) => this.totalOf(candidate),
    );
  }

  public result(): RoundResult {
    const winner = this.best();
    return {
      winner:
        winner === undefined
          ? undefined
          : { candidate: winner, distance: this.toDistance(this.totalOf(winner)) },
      distances: this.input.candidates.map((candidate) => this.distanceOf(candidate)),
      totals: this.totals,
    };
  }

  private distanceOf(candidate: Candidate): CandidateDistance {
    const sublayer = candidate.id;
    if (!this.seen.has(sublayer)) {
      return { sublayer, distance: null };
    }
    const distance = this.toDistance(this.totalOf(candidate));
    return this.isComplete(candidate)
      ? { sublayer, distance }
      : { sublayer, distance: null, atLeast: distance };
  }

  private toDistance(total: number): number {
    return this.input.metric.distance(total, this.input.sequences, this.input.length);
  }
}

/** Measures every candidate on every sequence, a few candidates at a time, so that they can be shown. */
export const everyDistance: Strategy = async (input) => {
  const tally = new Tally(input);
  const { candidates, scorer } = input;
  for (let start = 0; start < candidates.length; start += scorer.candidatesPerPass) {
    const group = candidates.slice(start, start + scorer.candidatesPerPass);
    await tally.measure(group, range(0, input.sequences));
  }
  return tally.result();
};

/**
 * Exact early stopping by racing: every candidate on the first sequence; the leader through all, for
 * a bound; then sequence by sequence those whose partial total is still within the bound. Terms are
 * not negative, so a total beyond the bound cannot come back.
 */
export const race: Strategy = async (input) => {
  const tally = new Tally(input);
  const runners = input.candidates.filter(input.isEligible);
  await tally.measure(runners, [0]);
  const leader = least(runners, (candidate) => tally.totalOf(candidate));
  if (leader === undefined) {
    return tally.result();
  }
  await tally.measure([leader], range(1, input.sequences));
  for (const sequence of range(1, input.sequences)) {
    await tally.measure(
      runners.filter((candidate) => candidate !== leader && canWin(tally, candidate)),
      [sequence],
    );
  }
  return tally.result();
};

/**
 * Lazy greedy (not exact): distances nearly always grow as more is removed, so the last known total
 * serves as a lower bound, and only candidates whose bound is under the best fresh total are run.
 */
export const lazy: Strategy = async (input) => {
  const tally = new Tally(input);
  const expected = (candidate: Candidate): number => input.expected.get(candidate.id) ?? 0;
  const queue = input.candidates.filter(input.isEligible).sort((a, b) => expected(a) - expected(b));
  for (const candidate of queue) {
    const best = tally.best();
    if (best !== undefined && expected(candidate) > tally.totalOf(best)) {
      break;
    }
    for (const sequence of range(0, input.sequences)) {
      if (canWin(tally, candidate)) {
        await tally.measure([candidate], [sequence]);
      }
    }
  }
  return tally.result();
};

function canWin(tally: Tally, candidate: Candidate): boolean {
  const best = tally.best();
  return best === undefined || tally.totalOf(candidate) <= tally.totalOf(best) * slack;
}

function least<T>(items: readonly T[], value: (item: T) => number): T | undefined {
  return items.reduce<T | undefined>(
    (best, item) => (best === undefined || value(item) < value(best) ? item : best),
    undefined,
  );
}

function range(start: number, end: number): number[] {
  return Array.from({ length: Math.max(0, end - start) }, (_, i) => start + i);
}
