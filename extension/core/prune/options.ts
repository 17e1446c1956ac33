import { defaultMetric } from '../metrics/metrics';
import type { MetricName } from '../metrics/metrics';

/**
 * How the removal order is found. `adaptive` measures as much as its decisions need; `exact` gives the order and distances of `naive` for less work;
 * `lazy` is approximate; the last three are baselines that rank without searching.
 */
export const searchModes = [
  'adaptive',
  'exact',
  'lazy',
  'naive',
  'one-shot',
  'random',
  'reverse',
] as const;
export type SearchMode = (typeof searchModes)[number];

/** What a candidate for removal is; `expert` is a single expert of a mixture. */
export const granularities = [
  'sublayer',
  'attention',
  'mixer',
  'feedforward',
  'expert',
  'block',
] as const;
export type Granularity = (typeof granularities)[number];

/** When to stop removing. Ratios are fractions of the whole, in (0, 1]. */
export type Budget =
  | { readonly kind: 'count'; readonly count: number }
  /** Fraction of the model's sublayers, `block` removals count two; of its experts at their granularity. */
  | { readonly kind: 'ratio'; readonly ratio: number }
  /** Fraction of the model's parameters. */
  | { readonly kind: 'parameters'; readonly ratio: number }
  | { readonly kind: 'all' };

/** Least {@link SearchSettings.confidence}: whatever measures worse is dropped at once. */
export const leastConfidence = 0.5;

/** How the result of a search is refined. */
export const refineMethods = ['swaps', 'evolve'] as const;

export interface RefineSettings {
  readonly method: (typeof refineMethods)[number];
  /** Sets of removals that are measured at most. */
  readonly sets: number;
}

/** Everything that decides what a search finds. */
export interface SearchSettings {
  readonly metric: MetricName;
  readonly mode: SearchMode;
  /** How sure `adaptive` must be to stop measuring a candidate, in [0.5, 1]; 1 makes it `exact`. */
  readonly confidence: number;
  readonly granularity: Granularity;
  readonly budget: Budget;
  /** Candidate ids that stay. A block's id protects both its sublayers. */
  readonly protect: readonly string[];
  /** The reference's `exclude` x: the first ⌊x·N/2⌋+1 blocks wait until ⌊x·N⌋+1 sublayers are gone. 0: off. */
  readonly exclude: number;
  /** Whether `exact` and `lazy` compute every distance in every round, not only in the first. */
  readonly everyDistance: boolean;
  /** Also measure the removal orders of these baselines. */
  readonly baselines: readonly BaselineName[];
  readonly refine?: RefineSettings;
  /** Arithmetic in which an adaptive search compares candidates; distances of rounds are always those of the model itself. */
  readonly arithmetic: Arithmetic;
  /** Seed of the `random` order and of a refinement. */
  readonly seed: number;
}

/** `auto`: int8 if the processor multiplies integers faster than floats and the model's layers can be rounded. */
export const arithmetics = ['auto', 'float32', 'int8'] as const;
export type Arithmetic = (typeof arithmetics)[number];

export const baselineNames = ['one-shot', 'reverse', 'random'] as const;
export type BaselineName = (typeof baselineNames)[number];

/** Whether a mode ranks without searching. */
export function isBaseline(mode: SearchMode): mode is BaselineName {
  return baselineNames.some((name) => name === mode);
}

export const defaultSettings: SearchSettings = {
  metric: defaultMetric,
  mode: 'adaptive',
  confidence: 0.999,
  granularity: 'sublayer',
  budget: { kind: 'ratio', ratio: 0.25 },
  protect: [],
  exclude: 0,
  everyDistance: false,
  baselines: [...baselineNames],
  arithmetic: 'auto',
  seed: 0,
};
