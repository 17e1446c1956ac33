import type { Candidate } from './candidates';
import type { CandidateDistance, Decision } from './layer-profile';
import type { Metric } from '../metrics/metrics';
import { least } from './least';
import type { Scorer } from './scorer';
import type { Slice } from '../metrics/slices';
import { normalCdf } from '../statistics';
import { RoundMeasurements } from './round-measurements';

/** Inputs of a round. */
export interface RoundInput {
  readonly scorer: Scorer;
  readonly metric: Metric;
  /** Name of the round in the journal. */
  readonly step: string;
  /** Candidates to measure, in model order. */
  readonly candidates: readonly Candidate[];
  /** True if a candidate may be removed. */
  readonly isEligible: (candidate: Candidate) => boolean;
  /** Rows of each calibration sequence: tokens of a language model. */
  readonly rows: readonly number[];
  /** Lower bound of each candidate's total from earlier rounds, by id. */
  readonly expected: ReadonlyMap<string, number>;
  readonly onDistance: (distance: CandidateDistance) => void;
}

export interface RoundResult {
  /** Undefined if no candidate may be removed. */
  readonly winner:
    | {
        readonly candidate: Candidate;
        readonly distance: number;
        readonly standardError?: number;
        readonly decision: Decision;
      }
    | undefined;
  /** In the order of `candidates`. */
  readonly distances: readonly CandidateDistance[];
  /** Totals, or lower bounds if incomplete, by candidate id. */
  readonly totals: ReadonlyMap<string, number>;
}

export type Strategy = (input: RoundInput) => Promise<RoundResult>;

/** Maximum number of standard errors for a difference that counts as a tie. */
const tieErrors = 2;
/** Tolerance for float32 rounding when comparing a partial total with the bound. */
const slack = 1 + 1e-5;

/**
 * Measures every candidate on every sequence, a few candidates at a time, so that results can be displayed.
 * @param estimates true to read a sample of the vocabulary
 */
export const everyDistance = async (input: RoundInput, estimates = false): Promise<RoundResult> => {
  const measurements = new RoundMeasurements({ ...input, estimates });
  const { candidates } = input;
  const { candidatesPerPass } = input.scorer;
  const slices = wholeSlices(input);
  // If one pass takes all candidates, it also takes all sequences.
  for (const group of candidatesPerPass < candidates.length
    ? slices.map((one) => [one])
    : [slices]) {
    for (let start = 0; start < candidates.length; start += candidatesPerPass) {
      await measurements.measure(candidates.slice(start, start + candidatesPerPass), group);
    }
  }
  return roundResult(input, measurements);
};

/**
 * Exact early stopping by racing: measures every candidate on the first sequence, the leader on all for a bound, and
 * then, sequence by sequence, those whose partial total is within the bound. Terms are not negative, so a total beyond
 * the bound can't recover. If a part of the vocabulary gives lower bounds of terms, these are computed first, and full
 * LM heads are run only for candidates that they don't drop. A full term replaces its bound and may still drop the
 * candidate.
 */
export const race: Strategy = async (input) => {
  const measurements = new RoundMeasurements(input);
  const runners = input.candidates.filter(input.isEligible);
  const [first, ...others] = wholeSlices(input);
  if (first === undefined) {
    return roundResult(input, measurements);
  }
  const slices = [first, ...others];
  await measurements.bound(runners, [first], others);
  const leader = least(runners, (candidate) => measurements.total(candidate));
  if (leader === undefined) {
    return roundResult(input, measurements);
  }
  await measurements.measure([leader], slices);
  for (const [i, slice] of others.entries()) {
    await measurements.bound(
      runners.filter((candidate) => canWin(input, measurements, candidate)),
      [slice],
      others.slice(i + 1),
    );
  }
  for (const [i, slice] of slices.entries()) {
    await measurements.measure(
      runners.filter((candidate) => canWin(input, measurements, candidate)),
      [slice],
      slices.slice(i + 1),
    );
  }
  return roundResult(input, measurements);
};

/**
 * Lazy greedy (not exact): distances nearly always grow with more removals, so the last known total serves as a lower
 * bound, and only candidates whose bound is below the best new total are run.
 */
export const lazy: Strategy = async (input) => {
  const measurements = new RoundMeasurements(input);
  const expected = (candidate: Candidate): number => input.expected.get(candidate.id) ?? 0;
  const queue = input.candidates.filter(input.isEligible).sort((a, b) => expected(a) - expected(b));
  const slices = wholeSlices(input);
  for (const candidate of queue) {
    const best = bestCandidate(input, measurements);
    if (best !== undefined && expected(candidate) > measurements.total(best)) {
      break;
    }
    for (const [i, slice] of slices.entries()) {
      if (canWin(input, measurements, candidate)) {
        await measurements.measure([candidate], [slice], slices.slice(i + 1));
      }
    }
  }
  return roundResult(input, measurements);
};

function wholeSlices({ rows }: RoundInput): Slice[] {
  return rows.map((to, sequence) => ({ sequence, from: 0, to }));
}

/** Complete candidate with the lowest total; the first in model order for ties. */
export function bestCandidate(
  { candidates, isEligible }: RoundInput,
  measurements: RoundMeasurements,
): Candidate | undefined {
  return least(
    candidates.filter((candidate) => isEligible(candidate) && measurements.isComplete(candidate)),
    (candidate) => measurements.total(candidate),
  );
}

/** Contribution of a surrogate to a round. */
export interface Proposal {
  /** Expected distances of eligible candidates, by id. */
  readonly expected: ReadonlyMap<string, number>;
  /** Candidates that were compared. */
  readonly finalists: readonly Candidate[];
}

/** @param proposal contribution of a surrogate, if any */
export function roundResult(
  input: RoundInput,
  measurements: RoundMeasurements,
  proposal?: Proposal,
): RoundResult {
  const candidate = bestCandidate(input, measurements);
  const result = { distances: measurements.distances(), totals: measurements.totals };
  if (candidate === undefined) {
    return { winner: undefined, ...result };
  }
  const { distance, standardError } = measurements.distance(candidate);
  return {
    winner: {
      candidate,
      distance: distance ?? Number.NaN,
      ...(standardError === undefined ? {} : { standardError }),
      decision: decisionFor(candidate, input, measurements, proposal),
    },
    ...result,
  };
}

function decisionFor(
  winner: Candidate,
  { candidates, isEligible }: RoundInput,
  measurements: RoundMeasurements,
  proposal: Proposal | undefined,
): Decision {
  const rivals = (proposal?.finalists ?? candidates)
    .filter((one) => one !== winner && isEligible(one) && measurements.isMeasured(one))
    .map((candidate) => {
      const { total, standardError } = measurements.difference(candidate, winner);
      return { id: candidate.id, errors: total === 0 ? 0 : total / standardError };
    })
    .filter(({ errors }) => Number.isFinite(errors))
    .sort((a, b) => a.errors - b.errors);
  const distance = proposal?.expected.get(winner.id);
  return {
    compared: rivals.length + 1,
    confidence: normalCdf(rivals[0]?.errors ?? Number.POSITIVE_INFINITY),
    ties: rivals.filter(({ errors }) => errors < tieErrors).map(({ id }) => id),
    // JSON can't store numbers that are not finite.
    ...(proposal === undefined || distance === undefined || !Number.isFinite(distance)
      ? {}
      : { expected: { distance, place: rank(distance, proposal.expected) } }),
  };
}

/** Rank of a distance among others, from 1. */
function rank(distance: number, others: ReadonlyMap<string, number>): number {
  return 1 + [...others.values()].filter((other) => other < distance).length;
}

function canWin(input: RoundInput, measurements: RoundMeasurements, candidate: Candidate): boolean {
  const best = bestCandidate(input, measurements);
  // If either is NaN, continues: which totals are finite is only known at the end.
  return best === undefined || !(measurements.total(candidate) > measurements.total(best) * slack);
}
