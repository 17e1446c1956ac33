import type { Evaluation } from '../evaluate/evaluation';
import type { Message } from '../message';

/** Panels of the editor that follow jobs and show their results. */
export type PanelName = 'heatmap' | 'compression' | 'dataMap' | 'symbolic';

/** Result of a job as it is announced. */
export interface Outcome {
  /** Sentence with the numbers that matter. */
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
  /** Field with the path of the document that the panel shows. */
  readonly document?: keyof Request & string;
  /** Opener of the result; by default the panel, or the output if there is no panel. */
  readonly opens?: 'writtenModel' | 'editor' | 'folder' | 'report';
  /** Field with the path of the original, if the job's model is not the original. */
  readonly original?: keyof Request & string;
  /** Buttons of the report of a result, the most useful first. Without them there is no report. */
  readonly nextSteps?: (request: Request) => readonly NextStep[];
  /** Fields that tell reports apart, so that a later job replaces one; the output if absent. */
  readonly reportedBy?: readonly (keyof Request & string)[];
  /** Button of the notification, if it is not the one that opens the result. */
  readonly notice?: 'calibrate';
  readonly outcome?: (result: Result, job: FinishedJob<Request>) => Outcome;
  /** Values of a heatmap column that the result holds. */
  readonly measures?: (result: Result) => Measurements;
  readonly saved?: SavedProgress;
}

/** Values of a heatmap column, by the ids of sublayers or experts. */
export interface Measurements {
  /** Id of the column in webview/heatmap/columns.ts. */
  readonly column: string;
  readonly values: Readonly<Record<string, number>>;
}

/** Progress that a resumed job does not repeat, as people read it. */
export interface SavedProgress {
  readonly text: (done: number, total: number) => Message;
  /** Returns a counter of a run's events; the progress itself is counted if absent. */
  readonly counter?: () => (event: unknown) => Counted | undefined;
  /** Files that a crash leaves besides the saved work. */
  readonly leftovers?: (request: object) => readonly string[];
}

/** Share of the work that is saved. */
export interface Counted {
  readonly done: number;
  readonly total: number;
}
