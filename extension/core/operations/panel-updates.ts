import type { Drift } from '../evaluate/drift';
import type { EvaluationResult } from '../evaluate/evaluation';
import type { TaskResult } from '../evaluate/task-accuracy';
import type { Plan } from '../plans/plan';
import type { MadePlan } from '../tensornet/budget/plan-for-budget';
import type { BudgetUnit } from '../tensornet/budget/budget-limits';
import type { CompressionPlan } from '../tensornet/budget/plan-under-budget';

/** Scores of plans of all sizes on a task. */
export interface ScoredFront {
  readonly unit: BudgetUnit;
  readonly original: Pick<TaskResult, 'task' | 'examples' | 'acc' | 'accError'>;
  /** Points by size in the unit, and by sum of distances. */
  readonly points: readonly (Pick<TaskResult, 'acc' | 'accError'> &
    Pick<CompressionPlan, 'cost' | 'sumOfDistances'>)[];
}

/** Changes that results make in the open panels of a model or dataset, by kind. */
export interface PanelUpdates {
  /** Plan whose changes the heatmap selects. */
  selection: { readonly plan: string };
  /** Plan with the patch of a sublayer. */
  patch: { readonly plan: string; readonly sublayer: string };
  /** Drift of a plan from the original, or of the model from `against`. */
  drift: {
    readonly drift: Drift;
    readonly plan?: string | Plan | undefined;
    readonly against?: string | undefined;
  };
  /** Perplexities on held-out text. */
  evaluation: {
    readonly result: EvaluationResult;
    readonly plan?: string | Plan | undefined;
    readonly against?: string | undefined;
    readonly text?: string | undefined;
  };
  /** Plan made from a sensitivity profile. */
  compressionPlan: { readonly sensitivity: string | undefined; readonly plan: MadePlan };
  /** Task scores of plans made from a sensitivity profile; undefined if no task was run. */
  planScores: {
    readonly sensitivity: string | undefined;
    readonly scores: ScoredFront | undefined;
  };
  /** Results next to a dataset. */
  dataset: { readonly data: string };
}

export type PanelUpdate = {
  readonly [Kind in keyof PanelUpdates]: { readonly kind: Kind } & PanelUpdates[Kind];
}[keyof PanelUpdates];
