import {
  array,
  boolean,
  exactOptional,
  gtValue,
  maxValue,
  number,
  object,
  picklist,
  pipe,
  string,
  tuple,
} from 'valibot';
import type { ModelSummary } from '../core/models/model-summary';
import type { ShareLimit } from '../core/tensornet/budget/budget-limits';
import type { RefinedPlan } from '../core/tensornet/budget/refine-plan';
import type { MethodFindings } from '../core/tensornet/sensitivity/findings';
import type {
  LayerSensitivity,
  SensitivityProfile,
} from '../core/tensornet/sensitivity/sensitivity-profile';
import type { Way } from '../core/tensornet/sensitivity/ways';
import type { PanelJob } from './jobs';
import type { CallSchemas } from './panel';

export type CompressionJob = PanelJob<'sensitivity' | 'plan-compression' | 'compress'>;

/** What the user asks a plan for. */
export interface BudgetChoice {
  readonly budget: ShareLimit;
  /** Ways that the plan may take. */
  readonly ways: readonly Way[];
  /** Whether sublayers may be removed, by the layer profile. */
  readonly removes: boolean;
  /** Whether embedding and head may be compressed, where they were measured. */
  readonly outer: boolean;
}

/** A plan that has been made, and for what. */
export interface MadePlan extends BudgetChoice {
  readonly result: RefinedPlan;
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
  readonly job: CompressionJob;
  readonly plan: MadePlan | undefined;
  /** Sublayers that a layer profile by the table's metric has measured. */
  readonly removable: number;
  /** What the user should know of the table, such as that it is of other weights. */
  readonly warnings: string | undefined;
  /** The sentence that says why no job may run, if so. */
  readonly blocked: string | undefined;
}

export interface CompressionCalls {
  profile(): void;
  resume(): void;
  cancel(): void;
  plan(choice: BudgetChoice): void;
  forgetPlan(): void;
  savePlan(): void;
  compress(): void;
  openHeatmap(): void;
  openText(): void;
  showLog(): void;
}

const budgetChoice = object({
  budget: object({
    unit: picklist(['bytes', 'parameters', 'memory', 'flops', 'milliseconds']),
    ratio: pipe(number(), gtValue(0), maxValue(1)),
  }),
  ways: array(
    object({
      method: picklist(['mpo', 'lowrank', 'int8', 'int4']),
      variant: exactOptional(string()),
      then: exactOptional(picklist(['int8', 'int4'])),
    }),
  ),
  removes: boolean(),
  outer: boolean(),
});

export const compressionCalls: CallSchemas<CompressionCalls> = {
  profile: tuple([]),
  resume: tuple([]),
  cancel: tuple([]),
  plan: tuple([budgetChoice]),
  forgetPlan: tuple([]),
  savePlan: tuple([]),
  compress: tuple([]),
  openHeatmap: tuple([]),
  openText: tuple([]),
  showLog: tuple([]),
};
