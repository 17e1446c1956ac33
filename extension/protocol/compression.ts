import type { ModelSummary } from '../core/models/model-summary';
import type { CompressionBudget } from '../core/tensornet/budget/plan-under-budget';
import type { RefinedPlan } from '../core/tensornet/budget/refine-plan';
import type { MethodFindings } from '../core/tensornet/sensitivity/findings';
import type {
  LayerSensitivity,
  OuterSensitivity,
  SensitivityProfile,
} from '../core/tensornet/sensitivity/sensitivity-profile';
import type { Way } from '../core/tensornet/sensitivity/ways';
import type { PanelJob } from './jobs';

export type CompressionJob = PanelJob<'sensitivity' | 'plan-compression' | 'compress'>;

/** What the user asks a plan for. */
export interface BudgetChoice {
  readonly budget: CompressionBudget;
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
  readonly table: ShownTable | undefined;
  readonly findings: readonly MethodFindings[];
  readonly job: CompressionJob;
  readonly plan: MadePlan | undefined;
  /** Sublayers that a layer profile by the table's metric has measured. */
  readonly removable: number;
  /** What the user should know of the table, such as that it is of other weights. */
  readonly remark: string | undefined;
  /** The sentence that says why no job may run, if so. */
  readonly blocked: string | undefined;
}

/** What the webview keeps with `setState`, so that a serializer can bring back the same panel. */
export interface CompressionRestore {
  readonly model: string;
  readonly file: string;
}

/** host → webview */
export type ToCompression =
  | { readonly type: 'state'; readonly state: CompressionState }
  /** Replaces the named fields; those that became undefined are named in `cleared`. */
  | {
      readonly type: 'patch';
      readonly patch: Partial<CompressionState>;
      readonly cleared: readonly (keyof CompressionState)[];
    }
  /** Matrices of the table that have been measured further. */
  | {
      readonly type: 'layers';
      readonly layers: readonly (LayerSensitivity | OuterSensitivity)[];
      readonly findings: readonly MethodFindings[];
    };

/** webview → host */
export type FromCompression =
  | { readonly type: 'ready' }
  | { readonly type: 'profile' }
  | { readonly type: 'resume' }
  | { readonly type: 'cancel' }
  | { readonly type: 'plan'; readonly choice: BudgetChoice }
  | { readonly type: 'forgetPlan' }
  | { readonly type: 'savePlan' }
  | { readonly type: 'compress' }
  | { readonly type: 'openHeatmap' }
  | { readonly type: 'openText' }
  | { readonly type: 'showLog' };
