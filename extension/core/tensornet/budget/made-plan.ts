import type { CompressionScheme } from '../sensitivity/schemes';
import type { BudgetLimit } from './budget-limits';
import type { CompressionPlan } from './plan-under-budget';
import type { RefinedPlan } from './refine-plan';

/** Budget and allowed changes of a plan. */
export interface BudgetChoice {
  /** All limits apply together; sizes are reported in the unit of the first. */
  readonly limits: readonly BudgetLimit[];
  /** Context length for memory, in tokens; the default if undefined. */
  readonly context?: number | undefined;
  /** Compression schemes that the plan may use. */
  readonly schemes: readonly CompressionScheme[];
  /** True if sublayers may be removed, by the layer profile. */
  readonly removes: boolean;
  /** True to allow width pruning, if the profile includes widths. */
  readonly prunesWidths: boolean;
  /** True to allow compressing embedding and head, if the profile includes them. */
  readonly embeddingAndHead: boolean;
}

/** Plan with the budget that it was made for: predicted from single changes, or measured as a whole. */
export interface MadePlan extends BudgetChoice {
  readonly result: CompressionPlan & Partial<Pick<RefinedPlan, 'distance' | 'tried'>>;
}
