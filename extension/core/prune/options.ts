import { defaultMetric } from '../metrics/metrics';
import type { MetricName } from '../metrics/metrics';

/**
 * Search modes. `adaptive` measures only as much as its decisions need; `exact` returns the order and distances of
 * `naive` with less work; `lazy` is approximate; the last three are baselines that rank without searching.
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

/** Kinds of candidates; `expert` is a single expert of an MoE layer. */
export const granularities = [
  'sublayer',
  'attention',
  'mixer',
  'feedforward',
  'expert',
  'block',
] as const;
export type Granularity = (typeof granularities)[number];

/** Stop condition. Ratios are fractions of the whole, in (0, 1]. */
export type Budget =
  | { readonly kind: 'count'; readonly count: number }
  /** Fraction of the model's sublayers (a `block` counts as two), or of its experts at `expert` granularity. */
  | { readonly kind: 'ratio'; readonly ratio: number }
  /** Fraction of the model's parameters. */
  | { readonly kind: 'parameters'; readonly ratio: number }
  | { readonly kind: 'all' };

/** Minimum of {@link SearchSettings.confidence}: any candidate that measures worse is dropped immediately. */
export const minConfidence = 0.5;

/** Methods that refine the result of a search. */
export const refineMethods = ['swaps', 'evolve'] as const;

export interface RefineSettings {
  readonly method: (typeof refineMethods)[number];
  /** Maximum number of measured sets of removals. */
  readonly sets: number;
}

/** Settings that determine the result of a search. */
export interface SearchSettings {
  readonly metric: MetricName;
  readonly mode: SearchMode;
  /** Confidence at which `adaptive` stops measuring a candidate, in [0.5, 1]; 1 equals `exact`. */
  readonly confidence: number;
  readonly granularity: Granularity;
  readonly budget: Budget;
  /** Ids of candidates that are never removed. A block's id protects both of its sublayers. */
  readonly protect: readonly string[];
  /** `exclude` x of the FinerCut code: the first ⌊x·N/2⌋+1 blocks wait until ⌊x·N⌋+1 sublayers are removed. 0: off. */
  readonly exclude: number;
  /** True if `exact` and `lazy` compute every distance in every round, not only in the first. */
  readonly everyDistance: boolean;
  /** Baselines whose removal orders are measured, too. */
  readonly baselines: readonly BaselineName[];
  readonly refine?: RefineSettings;
  /**
   * Arithmetic with which an adaptive search compares candidates. Reported distances of rounds are always those of the
   * model itself.
   */
  readonly arithmetic: Arithmetic;
  /** Seed of the `random` order and of the refinement. */
  readonly seed: number;
}

/** `auto`: int8 if the processor multiplies integers faster than floats and the model's layers can be quantized. */
export const arithmetics = ['auto', 'float32', 'int8'] as const;
export type Arithmetic = (typeof arithmetics)[number];

export const baselineNames = ['one-shot', 'reverse', 'random'] as const;
export type BaselineName = (typeof baselineNames)[number];

/** True if a mode ranks without searching. */
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
