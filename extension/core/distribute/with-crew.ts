import type { JobContext } from '../jobs/job';
import { Dispatcher } from './dispatcher';
import type { Engine, PieceSetup, PieceWorker } from './piece';
import type { PieceDoer } from './piece-doer';
import { say, verbatim } from '../message';

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
  context: Pick<JobContext, 'cancellation' | 'warn'>,
  action: (pieces: Dispatcher) => Promise<T>,
): Promise<T> {
  const home: PieceWorker = {
    name: 'this process',
    do: async ({ request }, job) => here.do(request, job),
  };
  const pieces = new Dispatcher(home, context, ({ name }, why) => {
    context.warn(say`${name} lost a piece of the work, which is done again. ${verbatim(why)}`);
  });
  let dismiss: (() => Promise<void>) | undefined;
  try {
    dismiss = await engine.hire(setup, pieces, {
      probe: async () => here.probe(),
      warn: (message) => {
        context.warn(message);
      },
    });
    return await action(pieces);
  } finally {
    await pieces.end();
    await dismiss?.();
  }
}
