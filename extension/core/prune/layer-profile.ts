import { isSameText } from '../quality-labels';
import type { CalibrationSummary } from '../data/calibration';
import type { ModelSummary } from '../models/model-summary';
import type { Origin } from '../runtime/origin';
import type { BaselineName, RefineSettings, SearchMode, SearchSettings } from './options';

/** Dependence of importance on the calibration text. */
export interface Stability {
  /** Texts, or parts of a single text, with the number of tokens on which every candidate was measured. */
  readonly texts: readonly { readonly name: string; readonly tokens: number }[];
  /** Spearman's correlation of importance between two texts: mean and minimum over pairs. */
  readonly correlation: number;
  readonly least: number;
  /** In model order. */
  readonly candidates: readonly CandidateStability[];
  /** Distance of the model after each round, by text. Rounds that were not measured on every text are omitted. */
  readonly rounds: readonly (readonly number[])[];
}

export interface CandidateStability {
  readonly sublayer: string;
  /** Distance when removed alone, by text. */
  readonly distances: readonly number[];
  /** Best and worst rank by importance on any text; 1 is the cheapest to remove. */
  readonly places: readonly [number, number];
  /** True if its ranks differ by at least a quarter of all candidates, and its share of importance significantly. */
  readonly dependsOnText: boolean;
}

/**
 * A candidate's distance to the original; `null` if early stopping made it unnecessary, or outputs contain NaN or
 * infinity.
 */
export interface CandidateDistance {
  /** `block.N.attention`, `block.N.feedforward`, `block.N.expert.J`, or `block.N` for whole blocks. */
  readonly sublayer: string;
  readonly distance: number | null;
  /** Lower bound of the distance; absent if not measured at all. */
  readonly atLeast?: number;
  /**
   * Standard error of the distance for other text of the same kind; `adaptive` estimates distances from a part of the
   * text.
   */
  readonly standardError?: number;
}

/** Confidence of a round's choice from paired differences over tokens, for other text of the same kind. */
export interface Decision {
  /** Number of compared candidates. */
  readonly compared: number;
  /** Probability that the runner-up is not better. */
  readonly confidence: number;
  /** Candidates whose distance is within two standard errors of the removed one's. */
  readonly ties: readonly string[];
  /** Expected distance and rank (from 1) of the choice in an adaptive search. */
  readonly expected?: { readonly distance: number; readonly place: number };
}

/** Greedy step: the removed candidate, and the distance of the model without it and all earlier ones. */
export interface Round {
  readonly removed: string;
  readonly distance: number;
  readonly standardError?: number;
  /** Absent for orders that were not searched. */
  readonly decision?: Decision;
  /** Known distances of this round; absent for orders that were not searched. */
  readonly candidates?: readonly CandidateDistance[];
}

/** Result of refining a search's removals. */
export interface Refinement {
  readonly method: RefineSettings['method'];
  /** Number of measured sets of removals. */
  readonly sets: number;
  /** Distance with all removals before and after the refinement, on the calibration tokens. */
  readonly from: number;
  readonly to: number;
  /** Number of exchanged removals. */
  readonly exchanged: number;
  /** Rounds before the refinement. */
  readonly start: readonly Round[];
}

/** Cost of a search. One evaluation is one sublayer run over one calibration sequence. */
export interface SearchCost {
  readonly seconds: number;
  readonly sublayerEvaluations: number;
  /** Evaluations needed to run the whole model for every candidate of every round. */
  readonly naiveSublayerEvaluations: number;
}

/** Accuracy of a search's surrogate. */
export interface SurrogateRecord {
  /** Number of rounds with proposed candidates. */
  readonly rounds: number;
  /** Number of rounds whose choice was predicted as the best, and among the best four. */
  readonly first: number;
  readonly amongFour: number;
  /** Mean of |log(predicted / measured)| over the chosen distances; undefined if all include a 0. */
  readonly meanLogError?: number;
}

/** Value that names the bundled held-out text instead of a path. */
export const bundledText = 'bundled';

/** Perplexity of the model after some rounds, on held-out text. */
export interface ProfileEvaluation {
  /** Number of removed rounds; 0 is the original. */
  readonly rounds: number;
  readonly text: string;
  readonly perplexity: number;
  readonly tokens: number;
  readonly tokensPerSecond: number;
  /** True if only the first windows were evaluated, because all would have taken too long. */
  readonly partial?: true;
}

/** Perplexity of the original and of the pruned model, on the same tokens. */
export interface PerplexityChange extends Pick<ProfileEvaluation, 'tokens' | 'partial'> {
  readonly before: number;
  readonly after: number;
}

/** Perplexity of the original and after some rounds, if both were measured on the same text. */
export function perplexityChange(
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

/** Document `NAME.layerprofile.json`: results and settings of a search. */
export interface LayerProfile extends Origin {
  readonly format: 'espalier.layerprofile';
  readonly version: 1;
  readonly model: ModelSummary;
  readonly calibration: CalibrationSummary;
  readonly metric: SearchSettings['metric'];
  /** The metric's formula and normalization, in words. */
  readonly metricDefinition: string;
  readonly settings: SearchSettings;
  readonly search: SearchCost & { readonly mode: SearchMode; readonly device: string };
  /** Present if the rounds were refined. */
  readonly refinement?: Refinement;
  /** Present for adaptive searches. */
  readonly surrogate?: SurrogateRecord;
  /** Present if the first round measured candidates on several texts, or parts of one. */
  readonly stability?: Stability;
  /** Distance of every candidate when removed alone from the original, in model order. */
  readonly candidates: readonly CandidateDistance[];
  readonly rounds: readonly Round[];
  readonly baselines: Readonly<Partial<Record<BaselineName, readonly Round[]>>>;
  /** 1 − cos(x, x + f(x)) of each sublayer: a cheap local preview, not a distance of logits. */
  readonly cosineLocal: readonly CandidateDistance[];
  readonly evaluations: readonly ProfileEvaluation[];
}

/** Round without the compared candidates. */
export const shownRound = ({ removed, distance, standardError }: Round): Round => ({
  ...{ removed, distance, ...(standardError === undefined ? {} : { standardError }) },
});

/** Profile without the candidates of each round, which are most of a long search's document and are not displayed. */
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

/** Partial results of a running search, in the order in which they become known. */
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
  | { readonly kind: 'baseline'; readonly name: BaselineName; readonly rounds: readonly Round[] };
