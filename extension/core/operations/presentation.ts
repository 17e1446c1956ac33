import type { Evaluation, EvaluationResult } from '../evaluate/evaluation';
import type { Message } from '../message';
import type { Drift } from '../evaluate/drift';
import type { TaskResult } from '../evaluate/task-accuracy';
import type { Plan } from '../plans/plan';
import type { MadePlan } from '../tensornet/budget/plan-for-budget';
import type { BudgetUnit } from '../tensornet/budget/budget-limits';
import type { CompressionPlan } from '../tensornet/budget/plan-under-budget';

/** Panels of the editor that follow jobs and show their results. */
export type PanelName = 'heatmap' | 'compression' | 'dataMap' | 'symbolic';

/** Kinds of reports about results. */
export type ReportKind = 'applied' | 'fitted' | 'repaired' | 'patched' | 'evaluated';

/** Announcement of a job's result. */
export interface Outcome {
  /** Sentence with the most important numbers. */
  readonly summary: Message;
  /** True if the result needs no notification: the job's panel shows it, or the job was short. */
  readonly shown?: boolean;
  /** True if something was written that misses a limit. */
  readonly isWarning?: boolean;
  /** True if nothing was written, so there is nothing to open. */
  readonly writesNothing?: boolean;
}

/** Job that has a result. */
export interface FinishedJob<Request> {
  readonly request: Request;
  /** Name of the model or dataset. */
  readonly name: string;
  /** Evaluation of the unchanged model, if it was measured before. */
  readonly original?: Evaluation;
}

/** Command or view that the report of a result offers. */
export type NextStep =
  /** Playground, next to the original. */
  | 'playground'
  | 'reveal'
  /** Another size of the original. */
  | 'evenSmaller'
  /** A size of the model that was evaluated. */
  | 'makeSmaller'
  /** Sensitivity profile that the model was planned from, or a comparison of its tensors. */
  | 'seeWhy'
  | 'compare'
  /** Heatmap of the written model. */
  | 'openHeatmap'
  /** Heatmap of the original. */
  | 'showHeatmap'
  | 'evaluate'
  /** Evaluates the written model and the original. */
  | 'evaluateBoth'
  | 'repair'
  | 'inspect';

/** Presentation of an operation's jobs in the editor. */
export interface Presentation<Request, Result> {
  /** Panel that shows partial results while the job runs, and the result. */
  readonly panel?: PanelName;
  /** Name of a job in its panel, such as "Profiling". */
  readonly jobName?: Message;
  /** Field with the path of the document that the panel shows. */
  readonly document?: keyof Request & string;
  /** Opener of the result; by default the panel, or the output if there is no panel. */
  readonly opens?: 'writtenModel' | 'editor' | 'folder' | 'report';
  /** Field with the path of the original, if the job's model is not the original. */
  readonly original?: keyof Request & string;
  /** Changes that a result makes in the open panels, besides the document that it is. */
  readonly updates?: (result: Result, request: Request) => readonly PanelUpdate[];
  /** Report that opens when the job is done. */
  readonly report?: ReportKind;
  /** Buttons of the report, the most useful first. */
  readonly nextSteps?: (request: Request) => readonly NextStep[];
  /** Fields that tell reports apart, so that a later job replaces one; the output if absent. */
  readonly reportedBy?: readonly (keyof Request & string)[];
  /** Button of the notification, if it is not the one that opens the result. */
  readonly notice?: 'calibrate';
  readonly outcome?: (result: Result, job: FinishedJob<Request>) => Outcome;
  /** Values of heatmap columns in the result. */
  readonly measures?: (result: Result) => Measurements;
  readonly saved?: SavedProgress;
}

/** Values of heatmap columns (webview/heatmap/columns.ts), by the ids of columns and of sublayers or experts. */
export type Measurements = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** Progress that a resumed job does not repeat, as people read it. */
export interface SavedProgress {
  readonly text: (done: number, total: number) => Message;
  /** Returns a counter of a run's events; the progress itself is counted if absent. */
  readonly counter?: () => (event: unknown) => Counted | undefined;
  /** Other files that a crash leaves behind. */
  readonly leftovers?: (request: object) => readonly string[];
}

/** Saved share of the work. */
export interface Counted {
  readonly done: number;
  readonly total: number;
}

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
