import { availableParallelism, freemem } from 'node:os';
import process from 'node:process';
import type * as v from 'valibot';
import { workItemKey } from '../../distribute/work-item';
import type { Engine, WorkSetup } from '../../distribute/work-item';
import type { TaskRunner } from '../../distribute/with-workers';
import { localOnly, withWorkers } from '../../distribute/with-workers';
import type { JobContext } from '../../jobs/job';
import type { TaskJob } from '../../jobs/child-task';
import { readCheckpointStep } from '../../training/checkpoint';
import type { SeedWorkItem } from './seed-setup';
import { measureStep, runThreads } from './training-run';
import type { RunRequest } from './training-run';
import { say } from '../../message';
import type { Message } from '../../message';

/** Options for running trainings in parallel. */
export interface SeedSharing {
  /** Engine selected by the user; if absent, a measurement decides whether to use local processes. */
  readonly engine?: Engine | undefined;
  /** Version of Espalier; others compute different results. */
  readonly version: string;
  /** Creates an engine with `count` local processes, including this one. */
  readonly processes: (count: number) => Engine;
}

/** Trainings that can run in parallel. */
export interface Seeds<Result> {
  readonly setup: WorkSetup;
  readonly pieces: readonly SeedWorkItem[];
  readonly result: v.GenericSchema<unknown, Result>;
  /** Task runner of this process. */
  readonly home: Pick<TaskRunner, 'do' | 'probe'>;
  /** Steps per training. */
  readonly steps: number;
  readonly stage: Message;
  /** Called with the result of each work item. */
  readonly onResult: (result: Result, index: number) => Promise<void>;
}

/** Startup time of a process in seconds, besides opening the data. */
const startSeconds = 0.5;
/** Share of free memory that processes may use. */
const memoryShare = 0.5;

/**
 * Selects the engine for parallel trainings: the user's, or local processes if they save time; undefined to run all in
 * this process.
 * @param openSeconds seconds that opening the data took here, and will take in each process
 */
export async function engineFor(
  sharing: SeedSharing | undefined,
  run: RunRequest,
  tasks: number,
  openSeconds: number,
): Promise<Engine | undefined> {
  if (sharing === undefined || tasks < 2) {
    return undefined;
  }
  const { engine, processes } = sharing;
  if (engine !== undefined) {
    return engine === localOnly ? undefined : engine;
  }
  const count = await countProcesses(run, tasks, openSeconds);
  return count === 1 ? undefined : processes(count);
}

/**
 * Number of processes for parallel trainings: limited by cores and memory, and 1 unless the time saved is more than
 * twice the startup time. Measures the time of a few steps.
 */
async function countProcesses(
  run: RunRequest,
  tasks: number,
  openSeconds: number,
): Promise<number> {
  const cores = availableParallelism();
  const byCores = Math.floor(cores / (runThreads(run) ?? cores));
  const byMemory = Math.floor((memoryShare * freemem()) / process.memoryUsage().rss);
  const count = Math.min(tasks, byCores, byMemory);
  if (count < 2) {
    return 1;
  }
  const sequentialSeconds = tasks * run.steps * (await measureStep(run));
  const together = Math.ceil(tasks / count) * (sequentialSeconds / tasks);
  return sequentialSeconds - together > 2 * (openSeconds + startSeconds) ? count : 1;
}

/** Runs trainings on the workers of an engine and in this process. */
export async function shareSeeds<Result>(
  { setup, pieces, result, home, steps, stage, onResult }: Seeds<Result>,
  engine: Engine,
  job: JobContext<unknown>,
): Promise<void> {
  const cost = Math.max(1, steps);
  const done = await Promise.all(pieces.map(async (one) => readCheckpointStep(one.checkpoint)));
  await withWorkers(engine, setup, home, job, async (pool) => {
    const report = (index: number, made: number): void => {
      // A training that is restarted or duplicated doesn't reduce the reported progress.
      done[index] = Math.max(done[index] ?? 0, made);
      const sum = done.reduce((total, one) => total + one, 0);
      const where = say`${stage}, ${pool.size} at once`;
      job.progress({ stage: where, done: sum, total: pieces.length * steps, unit: 'steps' });
    };
    const answers = pieces.map(async ({ request }, index) => {
      const progress: TaskJob['progress'] = (state) => {
        report(index, state.done);
      };
      const piece = { key: workItemKey(setup, request), lane: index, cost, request, result };
      const found = await pool.add(piece, { progress }).result;
      report(index, steps);
      await onResult(found, index);
    });
    await Promise.all(answers);
  });
}
