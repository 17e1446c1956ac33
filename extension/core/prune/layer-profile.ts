import { isSameText } from '../change-size';
import type { CalibrationSummary } from '../data/calibration';
import type { ModelSummary } from '../models/model-summary';
import type { Origin } from '../runtime/origin';
import type { BaselineName, RefineSettings, SearchMode, SearchSettings } from './options';

/** How far importance depends on the calibration text. */
export interface Stability {
  /** The texts, or parts of the only one, each with the tokens that every candidate was measured on. */
  readonly texts: readonly { readonly name: string; readonly tokens: number }[];
  /** Spearman's correlation of importance between two texts: mean over pairs, and the least. */
  readonly correlation: number;
  readonly least: number;
  /** In model order. */
  readonly candidates: readonly CandidateStability[];
  /** Distance of the model after each round, by text; without rounds that were not measured on each. */
  readonly rounds: readonly (readonly number[])[];
}

export interface CandidateStability {
  readonly sublayer: string;
  /** Distance when removed alone, by text. */
  readonly distances: readonly number[];
  /** Its best and its worst place by importance on a text, 1 being the cheapest to remove. */
  readonly places: readonly [number, number];
  /** Whether its places differ by at least a quarter of all, and its share of importance by more than chance. */
  readonly dependsOnText: boolean;
}

/** A candidate's distance to the original; `null` where early stopping made it needless, or outputs hold NaN or infinity. */
export interface CandidateDistance {
  /** `block.N.attention`, `block.N.feedforward`, `block.N.expert.J`, or `block.N` for whole blocks. */
  readonly sublayer: string;
  readonly distance: number | null;
  /** The distance is at least this; absent where it was not measured at all. */
  readonly atLeast?: number;
  /** Of the distance, for other text like the one measured; `adaptive` gives estimates from a part of it. */
  readonly standardError?: number;
}

/** How sure a round's choice is, by paired differences over tokens; for other text like the one measured. */
export interface Decision {
  /** How many candidates were compared. */
  readonly compared: number;
  /** Probability that the runner-up is no nearer. */
  readonly confidence: number;
  /** Candidates that cannot be told apart from the one removed: within two standard errors. */
  readonly ties: readonly string[];
  /** What an adaptive search had expected: the distance, and its place among all, from 1. */
  readonly expected?: { readonly distance: number; readonly place: number };
}

/** One greedy step: what was removed, and the distance of the model that lacks it and all before. */
export interface Round {
  readonly removed: string;
  readonly distance: number;
  readonly standardError?: number;
  /** Absent for orders that were not searched. */
  readonly decision?: Decision;
  /** Distances of this round as far as computed; absent for orders that were not searched. */
  readonly candidates?: readonly CandidateDistance[];
}

/** What a refinement made of a search's removals. */
export interface Refinement {
  readonly method: RefineSettings['method'];
  /** Sets of removals that were measured. */
  readonly sets: number;
  /** Distance of the whole before and after, on the calibration tokens. */
  readonly from: number;
  readonly to: number;
  /** Removals that are others now. */
  readonly exchanged: number;
  /** The rounds that it started from. */
  readonly start: readonly Round[];
}

/** What a search cost. One evaluation is one sublayer run over one calibration sequence. */
export interface SearchCost {
  readonly seconds: number;
  readonly sublayerEvaluations: number;
  /** What running the whole model for every candidate of every round would have taken. */
  readonly naiveSublayerEvaluations: number;
}

/** How often a search's surrogate was right. */
export interface SurrogateRecord {
  /** Rounds that it proposed candidates for. */
  readonly rounds: number;
  /** Rounds whose choice it had expected first, and among the first four. */
  readonly first: number;
  readonly amongFour: number;
  /** Mean of |log(predicted / measured)| of the distances chosen; undefined where each of them has a 0. */
  readonly meanLogError?: number;
}

/** Stands for the path of the held-out text that comes with Espalier. */
export const bundledText = 'bundled';

/** Perplexity of the model after some rounds, on text that is not the calibration text. */
export interface ProfileEvaluation {
  /** Number of rounds applied; 0 is the original. */
  readonly rounds: number;
  readonly text: string;
  readonly perplexity: number;
  readonly tokens: number;
  readonly tokensPerSecond: number;
  /** Only the first windows of what an evaluation reads, as all would have taken too long unasked. */
  readonly partial?: true;
}

/** Perplexity of an original and of what is left of it, on the same tokens. */
export interface PerplexityChange extends Pick<ProfileEvaluation, 'tokens' | 'partial'> {
  readonly before: number;
  readonly after: number;
}

/** Perplexity of the original and after some rounds, where both were measured on the same text. */
export function changeOfRounds(
  evaluations: readonly ProfileEvaluation[],
  rounds: number,
): PerplexityChange | undefined {
  const of = (count: number) => evaluations.filter((one) => one.rounds === count);
  for (const changed of of(rounds)) {
    const original = of(0).find((one) => isSameText(one, changed));
    if (original !== undefined) {
      const { tokens, partial } = changed;
      return {
        ...{ before: original.perplexity, after: changed.perplexity, tokens },
        ...(partial === undefined ? {} : { partial }),
      };
    }
  }
  return undefined;
}

/** The document `NAME.layerprofile.json`: everything a search found, and how. */
export interface LayerProfile extends Origin {
  readonly format: 'espalier.layerprofile';
  readonly version: 1;
  readonly model: ModelSummary;
  readonly calibration: CalibrationSummary;
  readonly metric: SearchSettings['metric'];
  /** The metric's formula and normalisation, in words. */
  readonly metricDefinition: string;
  readonly settings: SearchSettings;
  readonly search: SearchCost & { readonly mode: SearchMode; readonly device: string };
  /** Where the rounds were refined. */
  readonly refinement?: Refinement;
  /** Of an adaptive search. */
  readonly surrogate?: SurrogateRecord;
  /** Where a first round measured candidates on several texts, or parts of one. */
  readonly stability?: Stability;
  /** Every candidate's distance when removed alone from the original, in model order. */
  readonly candidates: readonly CandidateDistance[];
  readonly rounds: readonly Round[];
  readonly baselines: Readonly<Partial<Record<BaselineName, readonly Round[]>>>;
  /** 1 − cos(x, x + f(x)) of each sublayer: a cheap local preview, not a distance of logits. */
  readonly cosineLocal: readonly CandidateDistance[];
  readonly evaluations: readonly ProfileEvaluation[];
}

/** A round without what it compared. */
export const shownRound = ({ removed, distance, standardError }: Round): Round => ({
  ...{ removed, distance, ...(standardError === undefined ? {} : { standardError }) },
});

/** A profile without what each round compared: little of a long search's document, and all that is shown of it. */
export function shownProfile(profile: LayerProfile): LayerProfile {
  const { refinement, rounds, baselines, ...rest } = profile;
  const shown = (some: readonly Round[]): readonly Round[] => some.map(shownRound);
  return {
    ...rest,
    ...(refinement === undefined
      ? {}
      : { refinement: { ...refinement, start: shown(refinement.start) } }),
    rounds: shown(rounds),
    baselines: Object.fromEntries(
      Object.entries(baselines).map(([name, some]) => [name, shown(some)]),
    ),
  };
}

/** Partial results of a running search, in the order they become known. */
export type ProfileEvent =
  | {
      readonly kind: 'started';
      readonly model: ModelSummary;
      readonly calibration: CalibrationSummary;
      readonly settings: SearchSettings;
      readonly metricDefinition: string;
      readonly device: string;
      /** Ids of all candidates in model order. */
      readonly candidates: readonly string[];
    }
  | { readonly kind: 'cosine-local'; readonly distances: readonly CandidateDistance[] }
  /** `round` counts from 1. */
  | { readonly kind: 'candidate'; readonly round: number; readonly distance: CandidateDistance }
  | { readonly kind: 'round'; readonly round: number; readonly result: Round }
  /** What the surrogate expects of the rounds from `round` on. */
  | { readonly kind: 'predicted'; readonly round: number; readonly rounds: readonly Round[] }
  | { readonly kind: 'baseline'; readonly name: BaselineName; readonly rounds: readonly Round[] };
