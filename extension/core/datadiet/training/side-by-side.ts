import { availableParallelism, freemem } from 'node:os';
import process from 'node:process';
import type * as v from 'valibot';
import { pieceKey } from '../../distribute/piece';
import type { Engine, PieceSetup } from '../../distribute/piece';
import type { PieceDoer } from '../../distribute/piece-doer';
import { alone, withCrew } from '../../distribute/with-crew';
import type { JobContext } from '../../jobs/job';
import type { TaskJob } from '../../jobs/child-task';
import { readCheckpointStep } from '../../training/checkpoint';
import type { SeedPiece } from './seed-setup';
import { measureStep, threadsOf } from './training-run';
import type { RunRequest } from './training-run';
import { say } from '../../message';
import type { Message } from '../../message';

/** Whom trainings of seeds are shared with. */
export interface SeedSharing {
  /** As the user has chosen; a measurement decides on processes of this machine if absent. */
  readonly engine?: Engine | undefined;
  /** Of Espalier: others compute otherwise. */
  readonly version: string;
  /** So many processes of this machine, this one included. */
  readonly processes: (count: number) => Engine;
}

/** Trainings that can be done at the same time. */
export interface Seeds<Result> {
  readonly setup: PieceSetup;
  readonly pieces: readonly SeedPiece[];
  readonly result: v.GenericSchema<unknown, Result>;
  /** Does pieces in this process. */
  readonly home: Pick<PieceDoer, 'do' | 'probe'>;
  /** Steps of each. */
  readonly steps: number;
  readonly stage: Message;
  /** Gets what a piece has given. */
  readonly onResult: (result: Result, index: number) => Promise<void>;
}

/** What a process takes to start, besides opening the data. */
const startSeconds = 0.5;
/** Share of the free memory that processes may take. */
const memoryShare = 0.5;

/**
 * Who does some trainings besides this process: whom the user has chosen, or processes of this machine where they pay;
 * undefined where it does all.
 * @param openSeconds what opening the data has taken here, and will take in each process
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
    return engine === alone ? undefined : engine;
  }
  const count = await countProcesses(run, tasks, openSeconds);
  return count === 1 ? undefined : processes(count);
}

/**
 * How many processes pay for some trainings: as many as have cores of their own, where what they save is more
 * than twice what starting them takes. The time of a step is measured on a few.
 */
async function countProcesses(
  run: RunRequest,
  tasks: number,
  openSeconds: number,
): Promise<number> {
  const cores = availableParallelism();
  const byCores = Math.floor(cores / (threadsOf(run) ?? cores));
  const byMemory = Math.floor((memoryShare * freemem()) / process.memoryUsage().rss);
  const count = Math.min(tasks, byCores, byMemory);
  if (count < 2) {
    return 1;
  }
  const inTurn = tasks * run.steps * (await measureStep(run));
  const together = Math.ceil(tasks / count) * (inTurn / tasks);
  return inTurn - together > 2 * (openSeconds + startSeconds) ? count : 1;
}

/** Does trainings by the workers of an engine and this process. */
export async function shareSeeds<Result>(
  { setup, pieces, result, home, steps, stage, onResult }: Seeds<Result>,
  engine: Engine,
  job: JobContext<unknown>,
): Promise<void> {
  const cost = Math.max(1, steps);
  const done = await Promise.all(pieces.map(async (one) => readCheckpointStep(one.checkpoint)));
  await withCrew(engine, setup, home, job, async (crew) => {
    const report = (index: number, made: number): void => {
      // One that is begun again, or twice, does not take back what was told.
      done[index] = Math.max(done[index] ?? 0, made);
      const sum = done.reduce((total, one) => total + one, 0);
      const where = say`${stage}, ${crew.size} at once`;
      job.progress({ stage: where, done: sum, total: pieces.length * steps, unit: 'steps' });
    };
    const answers = pieces.map(async ({ request }, index) => {
      const progress: TaskJob['progress'] = (state) => {
        report(index, state.done);
      };
      const piece = { key: pieceKey(setup, request), lane: index, cost, request, result };
      const found = await crew.add(piece, { progress }).result;
      report(index, steps);
      await onResult(found, index);
    });
    await Promise.all(answers);
  });
}
