import { CancelledError, checkpoint } from '../jobs/job';
import type { JobContext } from '../jobs/job';
import { median } from '../median';
import { say } from '../message';
import type { LayeredModel } from '../models/layered-model';
import type { DeviceName } from '../runtime/device';
import { maySpin } from '../runtime/session';
import type { TimedVariant } from '../tensornet/sensitivity/run-change';
import type { TokenTimes } from '../tensornet/sensitivity/sensitivity-profile';
import { openDecoder } from './open-decoder';
import { timeInTurns } from './time-in-turns';
import type { Turn } from './time-in-turns';

const turns = { fewest: 2, most: 32, promptLength: 128 } as const;

interface Where {
  readonly device: DeviceName;
  readonly memoryBytes: number;
  /** Milliseconds of a variant's turns, where two turns don't take more. */
  readonly enough: number;
}

/** Milliseconds of a token of the original, and of each variant. */
interface MeasuredTimes<Change> {
  readonly whole: TokenTimes;
  readonly changed: readonly (TokenTimes & Change)[];
}

type Context = Pick<JobContext, 'cancellation' | 'progress' | 'warn'>;

/**
 * Times a token of the whole model, and of variants of it: linear layers, norms and attention itself, each variant in
 * turns with the original. Undefined of models that keep nothing between tokens, where memory doesn't hold the weights of
 * two in float32, and, with a warning, where a run fails.
 */
export async function measureRunTimes<Change>(
  model: LayeredModel,
  variants: readonly TimedVariant<Change>[],
  where: Where,
  context: Context,
): Promise<MeasuredTimes<Change> | undefined> {
  if (2 * model.summary.parameters * Float32Array.BYTES_PER_ELEMENT > where.memoryBytes) {
    return undefined;
  }
  try {
    return await timeRuns(model, variants, where, context);
  } catch (error) {
    if (error instanceof CancelledError) {
      throw error;
    }
    // Sublayers run one at a time where the full model can't, such as a graph that reads fewer tokens than it declares.
    const reason = error instanceof Error ? error.message : String(error);
    context.warn(
      say`The full model can't be timed, so budgets of milliseconds count its linear layers only: ${reason}`,
    );
    return undefined;
  }
}

async function timeRuns<Change>(
  model: LayeredModel,
  variants: readonly TimedVariant<Change>[],
  where: Where,
  { cancellation, progress }: Context,
): Promise<MeasuredTimes<Change> | undefined> {
  const options = { ...where, spin: maySpin() };
  const timing = { ...turns, enough: where.enough };
  const original = await openDecoder(model, { ...options, removed: [] });
  const timed: (readonly Turn[])[] = [];
  try {
    if (original.rereads !== undefined) {
      return undefined;
    }
    for (const [i, { open, removed = [] }] of variants.entries()) {
      await checkpoint(cancellation);
      const variant = await openDecoder(await open(), { ...options, removed });
      try {
        const tell = (): void => {
          progress({
            stage: say`Timing the model`,
            ...{ done: i, total: variants.length, unit: 'steps', moreFollows: true },
          });
        };
        const context = { cancellation };
        timed.push(await timeInTurns([original, variant], model.summary, timing, context, tell));
      } finally {
        await variant.dispose();
      }
    }
  } finally {
    await original.dispose();
  }
  const whole = timesBy((unit) => median(timed.flat().map(([own]) => own[unit])));
  return {
    whole,
    // Beside the original's of the same turn: what else the machine does slows both.
    changed: timed.flatMap((own, i) => {
      const change = variants[i]?.change;
      const times = timesBy(
        (unit) => whole[unit] * median(own.map(([before, after]) => after[unit] / before[unit])),
      );
      return change === undefined ? [] : [{ ...change, ...times }];
    }),
  };
}

const timesBy = (of: (unit: keyof TokenTimes) => number): TokenTimes => ({
  decodeMsPerToken: of('decodeMsPerToken'),
  prefillMsPerToken: of('prefillMsPerToken'),
});
