import type { JobContext } from '../jobs/job';
import { Dispatcher } from './dispatcher';
import type { Engine, PieceSetup, PieceWorker } from './piece';
import type { PieceDoer } from './piece-doer';
import { say, verbatim } from '../message';

/** What a job whose work is shared tells. */
export type CrewContext = Pick<JobContext, 'cancellation' | 'warn' | 'inform' | 'share'>;

/** Nobody but this process. */
export const alone: Engine = {
  memoryShare: 1,
  hire: () => Promise.resolve(() => Promise.resolve()),
};

/**
 * Runs a job whose pieces are done by the workers of an engine and by this process.
 * @param here does pieces in this process
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
