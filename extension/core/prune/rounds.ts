import type { Candidate } from './candidates';
import type { CandidateDistance, Decision } from './layer-profile';
import type { Metric } from '../metrics/metrics';
import { least } from './least';
import type { Scorer } from './scorer';
import type { Slice } from '../metrics/slices';
import { normalCdf } from '../metrics/statistics';
import { Tally } from './tally';

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
  /** Rows of each calibration sequence: tokens of a language model. */
  readonly rows: readonly number[];
  /** Lowest total each candidate is expected to have, from earlier rounds, by id. */
  readonly expected: ReadonlyMap<string, number>;
  readonly onDistance: (distance: CandidateDistance) => void;
}

export interface RoundResult {
  /** Undefined when no candidate may be removed. */
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
  /** Totals, or what is known of them, by candidate id. */
  readonly totals: ReadonlyMap<string, number>;
}

export type Strategy = (input: RoundInput) => Promise<RoundResult>;

/** Differences of fewer standard errors are ties. */
const tieErrors = 2;
/** How far a candidate's partial total may pass the bound before it is dropped: float32 rounding. */
const slack = 1 + 1e-5;

/** Measures every candidate on every sequence, a few candidates at a time, so that they can be shown. */
export const everyDistance: Strategy = async (input) => {
  const tally = new Tally(input);
  const { candidates } = input;
  const { candidatesPerPass } = input.scorer;
  const slices = wholeSlices(input);
  // Where one pass takes all candidates, it takes all sequences as well.
  for (const group of candidatesPerPass < candidates.length
    ? slices.map((one) => [one])
    : [slices]) {
    for (let start = 0; start < candidates.length; start += candidatesPerPass) {
      await tally.measure(candidates.slice(start, start + candidatesPerPass), group);
    }
  }
  return resultOf(input, tally);
};

/**
 * Exact early stopping by racing: every candidate on the first sequence; the leader through all, for
 * a bound; then sequence by sequence those whose partial total is still within the bound. Terms are
 * not negative, so a total beyond the bound cannot come back. Where some of the vocabulary tells how
 * great terms are at least, that comes first, and heads are run for those alone that it does not drop; a
 * term takes the place of its bound, and may drop them still.
 */
export const race: Strategy = async (input) => {
  const tally = new Tally(input);
  const runners = input.candidates.filter(input.isEligible);
  const [first, ...others] = wholeSlices(input);
  if (first === undefined) {
    return resultOf(input, tally);
  }
  const slices = [first, ...others];
  await tally.bound(runners, [first], others);
  const leader = least(runners, (candidate) => tally.totalOf(candidate));
  if (leader === undefined) {
    return resultOf(input, tally);
  }
  await tally.measure([leader], slices);
  for (const [i, slice] of others.entries()) {
    await tally.bound(
      runners.filter((candidate) => canWin(input, tally, candidate)),
      [slice],
      others.slice(i + 1),
    );
  }
  for (const [i, slice] of slices.entries()) {
    await tally.measure(
      runners.filter((candidate) => canWin(input, tally, candidate)),
      [slice],
      slices.slice(i + 1),
    );
  }
  return resultOf(input, tally);
};

/**
 * Lazy greedy (not exact): distances nearly always grow as more is removed, so the last known total
 * serves as a lower bound, and only candidates whose bound is under the best fresh total are run.
 */
export const lazy: Strategy = async (input) => {
  const tally = new Tally(input);
  const expected = (candidate: Candidate): number => input.expected.get(candidate.id) ?? 0;
  const queue = input.candidates.filter(input.isEligible).sort((a, b) => expected(a) - expected(b));
  const slices = wholeSlices(input);
  for (const candidate of queue) {
    const best = bestOf(input, tally);
    if (best !== undefined && expected(candidate) > tally.totalOf(best)) {
      break;
    }
    for (const [i, slice] of slices.entries()) {
      if (canWin(input, tally, candidate)) {
        await tally.measure([candidate], [slice], slices.slice(i + 1));
      }
    }
  }
  return resultOf(input, tally);
};

function wholeSlices({ rows }: RoundInput): Slice[] {
  return rows.map((to, sequence) => ({ sequence, from: 0, to }));
}

/** The complete candidate of least total; of equal ones the first in model order. */
export function bestOf(
  { candidates, isEligible }: RoundInput,
  tally: Tally,
): Candidate | undefined {
  return least(
    candidates.filter((candidate) => isEligible(candidate) && tally.isComplete(candidate)),
    (candidate) => tally.totalOf(candidate),
  );
}

/** What a surrogate has done for a round. */
export interface Proposal {
  /** Expected distances of those that could go, by id. */
  readonly expected: ReadonlyMap<string, number>;
  /** The candidates that were held against each other. */
  readonly finalists: readonly Candidate[];
}

/** @param proposal where a surrogate has made one */
export function resultOf(input: RoundInput, tally: Tally, proposal?: Proposal): RoundResult {
  const candidate = bestOf(input, tally);
  const result = { distances: tally.distances(), totals: tally.totals };
  if (candidate === undefined) {
    return { winner: undefined, ...result };
  }
  const { distance, standardError } = tally.distanceOf(candidate);
  return {
    winner: {
      candidate,
      distance: distance ?? Number.NaN,
      ...(standardError === undefined ? {} : { standardError }),
      decision: decisionFor(candidate, input, tally, proposal),
    },
    ...result,
  };
}

function decisionFor(
  winner: Candidate,
  { candidates, isEligible }: RoundInput,
  tally: Tally,
  proposal: Proposal | undefined,
): Decision {
  const rivals = (proposal?.finalists ?? candidates)
    .filter((one) => one !== winner && isEligible(one) && tally.isMeasured(one))
    .map((candidate) => {
      const { total, standardError } = tally.difference(candidate, winner);
      return { id: candidate.id, errors: total === 0 ? 0 : total / standardError };
    })
    .filter(({ errors }) => Number.isFinite(errors))
    .sort((a, b) => a.errors - b.errors);
  const distance = proposal?.expected.get(winner.id);
  return {
    compared: rivals.length + 1,
    confidence: normalCdf(rivals[0]?.errors ?? Number.POSITIVE_INFINITY),
    ties: rivals.filter(({ errors }) => errors < tieErrors).map(({ id }) => id),
    // A document holds no numbers that are not finite.
    ...(proposal === undefined || distance === undefined || !Number.isFinite(distance)
      ? {}
      : { expected: { distance, place: placeOf(distance, proposal.expected) } }),
  };
}

/** Place of a distance among others, from 1. */
function placeOf(distance: number, others: ReadonlyMap<string, number>): number {
  return 1 + [...others.values()].filter((other) => other < distance).length;
}

function canWin(input: RoundInput, tally: Tally, candidate: Candidate): boolean {
  const best = bestOf(input, tally);
  // Where either is no number, all goes on: it is known in the end alone who has one.
  return best === undefined || !(tally.totalOf(candidate) > tally.totalOf(best) * slack);
}
