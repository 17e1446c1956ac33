import {
  array,
  boolean,
  exactOptional,
  gtValue,
  integer,
  maxValue,
  minLength,
  minValue,
  number,
  object,
  optional,
  picklist,
  pipe,
  string,
  tuple,
  union,
} from 'valibot';
import type { ModelSummary } from '../core/models/model-summary';
import type { ScoredFront } from '../core/operations/presentation';
import type { BudgetUnit } from '../core/tensornet/budget/budget-limits';
import type { BudgetChoice, MadePlan } from '../core/tensornet/budget/plan-for-budget';
import type { Reach } from '../core/tensornet/budget/pareto-front';
import type { CompressionPlan, LimitKept } from '../core/tensornet/budget/plan-under-budget';
import type { MethodFindings } from '../core/tensornet/sensitivity/findings';
import type {
  LayerSensitivity,
  SensitivityProfile,
} from '../core/tensornet/sensitivity/sensitivity-profile';
import type { PanelJob } from './jobs';
import type { FrontPlan, OfferedType, PlanSize, PrunedSize } from './frontier';
import type { CallSchemas } from './panel';

export type { ScoredFront } from '../core/operations/presentation';
export type { BudgetChoice, MadePlan } from '../core/tensornet/budget/plan-for-budget';

/** Number of sublayers that a plan removes, and of those from which it removes channels, key/value heads or experts. */
export function plannedSublayers({
  remove,
  widths,
}: Pick<CompressionPlan, 'remove' | 'widths'>): Pick<PlanSize, 'removed' | 'widthPruned'> {
  const mixtures = remove.flatMap((id) => /^(.+)\.\d+$/.exec(id)?.[1] ?? []);
  return {
    removed: remove.length - mixtures.length,
    widthPruned: widths.length + new Set(mixtures).size,
  };
}

/** Range of plans that the measured single changes allow. */
export interface BudgetSurvey {
  readonly unit: BudgetUnit;
  /** Pareto-optimal plans within all limits but the first, most expensive first. */
  readonly points: readonly FrontPlan[];
  readonly reach: readonly Reach[];
}

/** A plan by single changes, which has not been run. */
export interface PredictedPlan extends PlanSize {
  readonly limits: readonly LimitKept[];
}

/** A table as far as it is known: complete when loaded, growing while a job runs. */
export type ShownTable = Omit<SensitivityProfile, 'created' | 'versions' | 'machine'>;

/** Everything the compression panel draws from. The host owns it. */
export interface CompressionState {
  readonly model: ModelSummary;
  /** Path of the document, there or to be. */
  readonly file: string;
  /** With the entries that it had when it was read, or when measuring began. */
  readonly table: ShownTable | undefined;
  /** Entries of matrices that have been measured further since, by tensor. */
  readonly measured: Readonly<Record<string, LayerSensitivity['entries']>>;
  readonly findings: readonly MethodFindings[];
  readonly job: PanelJob;
  readonly plan: MadePlan | undefined;
  readonly scores: ScoredFront | undefined;
  /** Sublayers that a layer profile by the table's metric has measured. */
  readonly removable: number;
  /** Units of the limits that the table can count. */
  readonly units: readonly BudgetUnit[];
  /** Types that the model can be written in. */
  readonly types: readonly OfferedType[];
  /** False if linear layers can't be compressed by a plan, as in GGUF files: types are offered instead. */
  readonly canPlan: boolean;
  /** Sizes that removing sublayers reaches, by a layer profile with the table's metric. */
  readonly pruned: readonly PrunedSize[];
  /** Warnings about the table, such as one for different weights. */
  readonly warnings: string | undefined;
  /** Sentence that explains why no job may run, if any. */
  readonly blocked: string | undefined;
}

export interface CompressionCalls {
  profile(): void;
  resume(): void;
  cancel(): void;
  /** Estimates the cost of plans of all sizes from single changes. */
  survey(choice: BudgetChoice): Promise<BudgetSurvey>;
  /** The plan of a choice by single changes. */
  predict(choice: BudgetChoice): Promise<PredictedPlan>;
  /** Selects that plan in the session without measuring it. */
  usePredicted(choice: BudgetChoice): Promise<void>;
  /** Writes the model of the plan by single changes. */
  apply(choice: BudgetChoice): Promise<void>;
  /** Asks for confirmation, then measures and refines the whole plan. */
  plan(choice: BudgetChoice): void;
  /** Runs the models of plans of all sizes on a task that the user chooses. */
  scorePlans(choice: BudgetChoice): void;
  forgetPlan(): void;
  savePlan(): void;
  compress(): void;
  /** Makes the model smaller, in the size of an {@link OfferedType}. */
  makeSmaller(size: string): void;
  openHeatmap(): void;
  openText(): void;
  showLog(): void;
}

const unit = picklist(['bytes', 'parameters', 'memory', 'flops', 'decode', 'prefill']);

const budgetChoice = object({
  limits: pipe(
    array(
      union([
        object({ unit, ratio: pipe(number(), gtValue(0), maxValue(1)) }),
        object({ unit, most: pipe(number(), minValue(0)) }),
      ]),
    ),
    minLength(1),
  ),
  context: optional(pipe(number(), integer(), minValue(1))),
  schemes: array(
    object({
      method: picklist(['mpo', 'lowrank', 'int8', 'int4', 'gguf']),
      variant: exactOptional(string()),
      then: exactOptional(picklist(['int8', 'int4'])),
    }),
  ),
  removes: boolean(),
  prunesWidths: boolean(),
  embeddingAndHead: boolean(),
});

export const compressionCalls: CallSchemas<CompressionCalls> = {
  profile: tuple([]),
  resume: tuple([]),
  cancel: tuple([]),
  survey: tuple([budgetChoice]),
  predict: tuple([budgetChoice]),
  usePredicted: tuple([budgetChoice]),
  apply: tuple([budgetChoice]),
  plan: tuple([budgetChoice]),
  scorePlans: tuple([budgetChoice]),
  forgetPlan: tuple([]),
  savePlan: tuple([]),
  compress: tuple([]),
  makeSmaller: tuple([string()]),
  openHeatmap: tuple([]),
  openText: tuple([]),
  showLog: tuple([]),
};
