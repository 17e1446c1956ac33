import type { JobContext } from '../jobs/job';
import { Dispatcher } from './dispatcher';
import type { Engine, WorkSetup, JobWorker } from './work-item';
import { say, verbatim } from '../message';
import type { TaskJob } from '../jobs/child-task';
import type { OpenedModel } from '../models/opened-model';
import type { WorkerLimits } from './local-engine';

/** Callbacks of a job that runs on several workers. */
export type PoolContext = Pick<JobContext, 'cancellation' | 'warn' | 'inform' | 'share'>;

/** Engine without additional workers: all work runs in this process. */
export const localOnly: Engine = {
  memoryShare: 1,
  addWorkers: () => Promise.resolve(() => Promise.resolve()),
};

/**
 * Runs a job with the workers of an engine and this process.
 * @param here runs work items in this process
 */
export async function withWorkers<T>(
  engine: Engine,
  setup: WorkSetup,
  here: Pick<TaskRunner, 'do' | 'probe'>,
  context: PoolContext,
  action: (dispatcher: Dispatcher) => Promise<T>,
): Promise<T> {
  const home: JobWorker = {
    name: say`This process`,
    do: async ({ request }, job) => here.do(request, job),
  };
  const dispatcher = new Dispatcher(home, context, {
    lost: ({ name }, why) => {
      context.warn(say`${name} failed to finish a work item. It is run again. ${verbatim(why)}`);
    },
    changed: (workers) => {
      context.share(workers);
    },
  });
  let release: (() => Promise<void>) | undefined;
  try {
    release = await engine.addWorkers(setup, dispatcher, {
      probe: async () => here.probe(),
      warn: (message) => {
        context.warn(message);
      },
      inform: (message) => {
        context.inform(message);
      },
    });
    return await action(dispatcher);
  } finally {
    await dispatcher.end();
    await release?.();
  }
}

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
