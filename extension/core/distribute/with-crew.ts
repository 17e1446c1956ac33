import type { JobContext } from '../jobs/job';
import { Dispatcher } from './dispatcher';
import type { Engine, PieceSetup, PieceWorker } from './piece';
import type { PieceDoer } from './piece-doer';
import { say, verbatim } from '../message';

/** Callbacks of a job that runs on several workers. */
export type CrewContext = Pick<JobContext, 'cancellation' | 'warn' | 'inform' | 'share'>;

/** Engine without additional workers: all work runs in this process. */
export const alone: Engine = {
  memoryShare: 1,
  hire: () => Promise.resolve(() => Promise.resolve()),
};

/**
 * Runs a job with the workers of an engine and this process.
 * @param here runs work items in this process
 */
export async function withCrew<T>(
  engine: Engine,
  setup: PieceSetup,
  here: Pick<PieceDoer, 'do' | 'probe'>,
  context: CrewContext,
  action: (pieces: Dispatcher) => Promise<T>,
): Promise<T> {
  const home: PieceWorker = {
    name: say`This process`,
    do: async ({ request }, job) => here.do(request, job),
  };
  const pieces = new Dispatcher(home, context, {
    lost: ({ name }, why) => {
      context.warn(say`${name} lost a piece of the work, which is done again. ${verbatim(why)}`);
    },
    changed: (workers) => {
      context.share(workers);
    },
  });
  let dismiss: (() => Promise<void>) | undefined;
  try {
    dismiss = await engine.hire(setup, pieces, {
      probe: async () => here.probe(),
      warn: (message) => {
        context.warn(message);
      },
      inform: (message) => {
        context.inform(message);
      },
    });
    return await action(pieces);
  } finally {
    await pieces.end();
    await dismiss?.();
  }
}
