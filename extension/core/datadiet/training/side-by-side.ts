import { availableParallelism, freemem } from 'node:os';
import process from 'node:process';
import { CancelledError } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import { WorkerLostError } from '../../jobs/child-task';
import type { TaskJob } from '../../jobs/child-task';
import { stepsOfCheckpoint } from '../../training/checkpoint';
import type { SeedTask } from './seed-task';
import { measureStep, threadsOf } from './training-run';
import type { RunRequest } from './training-run';
import { say } from '../../message';
import type { Message } from '../../message';

/** Processes for seeds; core says what is done in them, the caller where they come from. */
export interface Processes {
  /** Does a task in a process of its own. */
  readonly run: (task: SeedTask, job: TaskJob) => Promise<unknown>;
  /** How many at once; decided by a measurement if absent. */
  readonly count?: number;
}

/** Trainings that can be done at the same time. */
export interface Seeds {
  readonly tasks: readonly SeedTask[];
  /** How tasks are named in warnings. */
  readonly names: readonly Message[];
  /** Steps of each. */
  readonly steps: number;
  /** Where each leaves what is done, in the order of the tasks; it goes on there. */
  readonly checkpoints: readonly string[];
  readonly stage: Message;
  /** Gets what a task has returned. */
  readonly onResult?: (result: unknown, index: number) => Promise<void>;
}

/** What a process takes to start, besides opening the data. */
const startSeconds = 0.5;
/** Share of the free memory that processes may take. */
const memoryShare = 0.5;

/**
 * How many processes pay for some trainings: as many as have cores of their own, where what they save is more
 * than twice what starting them takes. The time of a step is measured on a few.
 * @param openSeconds what opening the data has taken here, and will take in each process
 */
export async function countProcesses(
  processes: Processes | undefined,
  run: RunRequest,
  tasks: number,
  openSeconds: number,
): Promise<number> {
  if (processes === undefined || tasks < 2) {
    return 1;
  }
  if (processes.count !== undefined) {
    return Math.min(processes.count, tasks);
  }
  const cores = availableParallelism();
  const byCores = Math.floor(cores / (threadsOf(run) ?? cores));
  const byMemory = Math.floor((memoryShare * freemem()) / process.memoryUsage().rss);
  const count = Math.min(tasks, byCores, byMemory);
  if (count < 2) {
    return 1;
  }
  const alone = tasks * run.steps * (await measureStep(run));
  const together = Math.ceil(tasks / count) * (alone / tasks);
  return alone - together > 2 * (openSeconds + startSeconds) ? count : 1;
}

/**
 * Does tasks in `count` processes at once. One whose process ended is left to the caller, who goes on where its
 * checkpoint is; any other error stops them all.
 */
export async function runSideBySide(
  { tasks, names, steps, checkpoints, stage, onResult }: Seeds,
  processes: Processes,
  count: number,
  job: JobContext<unknown>,
): Promise<void> {
  const waiting = tasks.map((task, index) => ({ task, index }));
  const done = await Promise.all(checkpoints.map(stepsOfCheckpoint));
  let stopped = false;
  const cancellation = {
    get isCancellationRequested(): boolean {
      return stopped || job.cancellation.isCancellationRequested;
    },
  };
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const { task, index } = next;
      const progress: TaskJob['progress'] = ({ done: made }) => {
        done[index] = made;
        const sum = done.reduce((total, one) => total + one, 0);
        const where = say`${stage} in ${count} processes`;
        job.progress({ stage: where, done: sum, total: tasks.length * steps, unit: 'steps' });
      };
      try {
        if (cancellation.isCancellationRequested) {
          throw new CancelledError();
        }
        const result = await processes.run(task, { cancellation, progress });
        await onResult?.(result, index);
      } catch (error) {
        if (!(error instanceof WorkerLostError)) {
          stopped = true;
          throw error;
        }
        job.warn(
          say`${names[index] ?? stage}: its process was lost, so it continues in this one. ${error.message}`,
        );
      }
    }
  };
  const errors: Error[] = [];
  const workers = Array.from({ length: count }, async () =>
    work().catch((error: unknown) => {
      errors.push(error instanceof Error ? error : new Error(String(error)));
    }),
  );
  await Promise.all(workers);
  // A cancellation that another's error has caused is not what went wrong.
  const first = errors.find((error) => !(error instanceof CancelledError)) ?? errors[0];
  if (first !== undefined) {
    throw first;
  }
}
