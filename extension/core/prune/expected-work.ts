import { vocabularyShare } from '../metrics/logits-readout';
import { firstRows } from '../metrics/slices';
import type { ModelSummary } from '../models/model-summary';
import type { LayeredExecutor } from '../runtime/layered-executor';
import { stateBytesPerToken } from '../runtime/memory-shares';
import { countFitting, streamedActiveShare } from '../runtime/states/batches';
import { listCandidates } from './candidates';
import type { BaselineName, SearchSettings } from './options';
import { confirmedRows, wholeRows } from './screening-copy';
import { minBaselineRows } from './search-plan';

/**
 * Candidates whose measurement on all tokens takes as long as the races of the first and of each later round of an adaptive
 * search if nothing is removed yet. More candidates are closer to each other. Counted on SmolLM2-135M, Gemma 3 270M and
 * Qwen2.5-Coder-0.5B: 2.9, 2.0 and 3.1 in the first round, 3.1, 1.7 and 2.4 in later ones, of 60, 18 and 24 candidates.
 */
const firstRaced = 2.6;
const laterRaced = (candidates: number): number => 0.42 * Math.sqrt(candidates);

/**
 * Cost of the first and of later rounds, relative to a round that runs every candidate from its own position. Measured
 * on SmolLM2-135M, Gemma 3 270M and Qwen2.5-Coder; used until rounds are measured.
 */
function roundShares(
  { mode, confidence }: Pick<SearchSettings, 'mode' | 'confidence'>,
  candidates: number,
  tokens: number,
): readonly [first: number, later: number] {
  if (mode === 'adaptive' && confidence < 1) {
    const raced = (count: number): number => Math.min(1, count / Math.max(1, candidates));
    return [Math.min(1, firstRows / tokens + raced(firstRaced)), raced(laterRaced(candidates))];
  }
  return mode === 'naive' ? [2, 2] : [1, 0.3];
}

/**
 * Passes through the sublayers in the first and in later rounds of an adaptive search whose sessions don't all fit in memory.
 * Counted on Qwen2.5-Coder-0.5B: 10 and 3 to 7.
 */
const [firstPasses, laterPasses] = [10, 4] as const;
/** The same of other searches: each sequence that a round needs. */
const passesPerRound = 2;

/**
 * Tokens through the int8 copy in the first and in later rounds relative to those expected of a search if sessions are opened for
 * each pass: main trajectories are computed again, and races measure more rows in a pass. Counted on Qwen2.5-Coder-0.5B.
 */
const [firstBeyond, laterBeyond] = [1.3, 1.8] as const;

/**
 * Sublayers that a winner is run through when it is confirmed, as a share of all: those after it, and if sessions are opened for each
 * pass, those of the main trajectory. Counted on SmolLM2-135M, Gemma 3 270M and Qwen2.5-Coder-0.5B.
 */
const [keptWinner, streamedWinner] = [0.5, 0.85] as const;
/**
 * Sublayers that each prefix of an order is run through, as a share of all: those after its last removal. The prefixes of a
 * reversed order end with the last sublayers.
 */
const prefixShares: Readonly<Record<BaselineName, number>> = {
  'one-shot': 0.25,
  reverse: 0.06,
  random: 0.33,
};
/** Approximate share of the tokens on which a set of a refinement is measured. */
const refineShare = 0.25;

/** What decides how many states a pass through the sublayers takes. */
type StateRoom = Pick<LayeredExecutor, 'shares' | 'model'>;

/** Number of sublayer evaluations per sequence, and of readouts of its output over the whole vocabulary. */
export interface Amount {
  readonly evaluations: number;
  readonly readouts: number;
  /** Returns the number of passes through the sublayers of all sequences together. */
  readonly passes: (executor: StateRoom) => number;
}

/** Work on the model itself, and on its int8 copy if candidates are compared on one. */
export interface SplitAmount {
  readonly model: Amount;
  readonly copy: Amount;
}

/** Expected computations of a search for each sequence. */
export interface ExpectedWork {
  readonly rounds: number;
  /** The original and the first round. */
  readonly first: SplitAmount;
  /** Each round after the first if it were of size 1. */
  readonly later: SplitAmount;
  /** Size of a round, from 1: the share of the candidates that are left, as passes are shorter and there are fewer of them. */
  readonly roundSize: (round: number) => number;
  readonly refinement: SplitAmount;
  /** The orders that the search is compared with. */
  readonly baselines: ReadonlyMap<BaselineName, SplitAmount>;
  /** Number of sets that a refinement measures. */
  readonly sets: number;
}

const noAmount: Amount = {
  evaluations: 0,
  readouts: 0,
  passes: () => 0,
};
const onModel = (model: Amount): SplitAmount => ({ model, copy: noAmount });

/** Number of tokens whose states a pass takes through the sublayers if sessions are opened for each. */
const tokensPerPass = ({ shares, model }: StateRoom): number =>
  countFitting(shares, streamedActiveShare, stateBytesPerToken(model));

/**
 * Expected computations of a search.
 * @param tokens total tokens of all sequences
 * @param known `isSearched` if the search itself is done, so that only the original runs before the refinement and
 *   baselines; `copy` if candidates are compared on an int8 copy
 */
export function expectedWork(
  settings: SearchSettings,
  summary: ModelSummary,
  tokens: number,
  known: {
    readonly isSearched?: boolean;
    readonly executor?: Pick<LayeredExecutor, 'keepsSessions' | 'model' | 'shares'> | undefined;
    readonly copy?: Pick<LayeredExecutor, 'keepsSessions'> | undefined;
  } = {},
): ExpectedWork {
  const candidates = listCandidates(summary, settings.granularity);
  const count = summary.sublayers.length;
  const rounds = expectedRounds(settings, candidates.length);
  const isAdaptive = settings.mode === 'adaptive' && settings.confidence < 1;
  const [firstShare, laterShare] = roundShares(settings, candidates.length, tokens);
  // Every candidate from its own position to the end.
  const perRound = candidates.reduce((sum, candidate) => sum + count - candidate.first, 0);
  // An adaptive search reads out the original and each winner over the whole vocabulary, and others in part.
  const share = isAdaptive ? vocabularyShare('sampled', summary.vocabularySize) : 1;
  const sets = expectedSets(settings, rounds, candidates.length);
  const refined = sets * refineShare;
  const names = settings.baselines.filter((name) => name !== settings.mode);
  const compared = isAdaptive ? Math.min(1, minBaselineRows / tokens) : 1;
  /** A round that measures a share of its candidates. */
  const round = (measured: number, passes: number, originals: number): SplitAmount => {
    const compare = (times: number, wholeReadouts: number): Amount => ({
      evaluations: (originals * count + perRound * measured) * times,
      readouts: candidates.length * measured * share + wholeReadouts,
      passes: (executor) =>
        Math.max(
          originals + passes,
          (candidates.length * measured * tokens) / tokensPerPass(executor),
        ),
    });
    const { executor, copy } = known;
    if (copy === undefined) {
      return onModel(compare(1, originals + (isAdaptive ? 1 : 0)));
    }
    const rowShare = (rows: number): number => Math.min(1, rows / tokens);
    const [confirmed, whole] = [
      rowShare(confirmedRows),
      rowShare(executor === undefined ? confirmedRows : wholeRows(executor)),
    ];
    const sampled = whole < confirmed ? confirmed : 0;
    const winner = executor?.keepsSessions === false ? streamedWinner : keptWinner;
    const run = confirmed * (originals + winner);
    return {
      copy: compare(copy.keepsSessions ? 1 : originals > 0 ? firstBeyond : laterBeyond, 0),
      model: {
        evaluations: run * count,
        // The original of the copy is read over the whole vocabulary in float32 as well.
        readouts: originals * (1 + whole + sampled) + whole + sampled * share,
        passes: (executor) => Math.ceil((run * tokens) / tokensPerPass(executor)),
      },
    };
  };
  const original: Amount = {
    evaluations: count,
    readouts: 1,
    passes: () => 1,
  };
  /** If sessions are streamed, the original and the prefixes of all orders go through together. */
  const originalsRead = known.executor?.keepsSessions === false ? 1 / names.length : 1;
  const originalsRun = known.copy === undefined ? 0 : 1 / names.length;
  const order = (name: BaselineName): SplitAmount =>
    onModel({
      evaluations: compared * count * (1 + originalsRun + rounds * prefixShares[name]),
      readouts: compared * (rounds * share + originalsRead),
      passes: (executor) =>
        Math.ceil((names.length * rounds * compared * tokens) / tokensPerPass(executor)) /
        names.length,
    });
  return {
    ...(known.isSearched === true
      ? { rounds: 1, first: onModel(original), later: onModel(noAmount) }
      : {
          rounds,
          first: round(firstShare, isAdaptive ? firstPasses : passesPerRound, 1),
          later: round(laterShare, isAdaptive ? laterPasses : passesPerRound, 0),
        }),
    roundSize: (round) => 1 - (round - 1) / Math.max(1, candidates.length),
    refinement: onModel({
      ...{ evaluations: refined * count, readouts: refined },
      passes: () => sets,
    }),
    baselines: new Map(names.map((name) => [name, order(name)])),
    sets,
  };
}

/** All work on the model, and on the int8 copy. */
export function totalWork(expected: ExpectedWork): SplitAmount {
  const { rounds, first, later, refinement, baselines } = expected;
  const total = (part: keyof SplitAmount): Amount =>
    sumAmounts([
      [1, first[part]],
      [sumSizes(expected, 2, rounds), later[part]],
      [1, refinement[part]],
      ...[...baselines.values()].map((order) => [1, order[part]] as const),
    ]);
  return { model: total('model'), copy: total('copy') };
}

/** Sum of the sizes of some rounds. */
export function sumSizes(
  { roundSize }: Pick<ExpectedWork, 'roundSize'>,
  from: number,
  to: number,
): number {
  let sum = 0;
  for (let round = from; round <= to; round++) {
    sum += roundSize(round);
  }
  return sum;
}

function sumAmounts(amounts: readonly (readonly [times: number, amount: Amount])[]): Amount {
  const sum = (value: (amount: Amount) => number): number =>
    amounts.reduce((before, [times, amount]) => before + times * value(amount), 0);
  return {
    evaluations: sum(({ evaluations }) => evaluations),
    readouts: sum(({ readouts }) => readouts),
    passes: (executor) => sum(({ passes }) => passes(executor)),
  };
}

/** Swaps end after about two passes over all pairs. */
function expectedSets({ refine }: SearchSettings, rounds: number, candidates: number): number {
  const { method, sets = 0 } = refine ?? {};
  return method === 'swaps' ? Math.min(sets, 2 * rounds * (candidates - rounds)) : sets;
}

function expectedRounds({ budget }: SearchSettings, candidates: number): number {
  switch (budget.kind) {
    case 'all':
      return candidates;
    case 'count':
      return Math.min(budget.count, candidates);
    default:
      return Math.min(candidates, Math.ceil(budget.ratio * candidates));
  }
}
