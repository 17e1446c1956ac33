import type { TaskJob } from '../jobs/child-task';
import type { OpenedModel } from '../models/opened-model';
import type { WorkerLimits } from './local-engine';
import type { WorkSetup } from './work-item';

/** Runs the work items of one setup in any process. */
export interface TaskRunner {
  /**
   * Runs a request. Requests come in any order and may be repeated.
   * @throws Error for an invalid request
   */
  do(request: unknown, job: TaskJob): Promise<unknown>;
  /** Outputs of the model on its inputs, for comparison with those of other machines. */
  probe(): Promise<readonly number[]>;
  dispose(): Promise<void>;
}

/** Resources that a worker has for running work items. */
export interface RunnerResources extends WorkerLimits {
  /** Paths of files by purpose. */
  readonly files: Readonly<Record<string, string>>;
  /** Opens the job's model, or another one by purpose. */
  readonly openModel: (name?: string) => Promise<OpenedModel>;
  /** Folder with Espalier's sample texts and model. */
  readonly samples: string;
  /** Folder for unfinished work, shared by the workers of the job on this machine. */
  readonly jobFolder: string;
  /** Folder for unfinished work of this worker only. */
  readonly scratch: string;
}

/** Opens the runner for work items of one kind. */
export type OpenTaskRunner = (
  data: WorkSetup['data'],
  means: RunnerResources,
) => Promise<TaskRunner>;
