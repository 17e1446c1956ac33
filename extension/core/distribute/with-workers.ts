import type { JobContext } from '../jobs/job';
import { Dispatcher } from './dispatcher';
import type { Engine, WorkSetup, JobWorker } from './work-item';
import type { TaskRunner } from './task-runner';
import { say, verbatim } from '../message';

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
