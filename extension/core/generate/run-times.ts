import { CancelledError, checkpoint } from '../jobs/job';
import type { JobContext } from '../jobs/job';
import { median } from '../statistics';
import { say } from '../message';
import type { LayeredModel } from '../models/layered-model';
import type { DeviceName } from '../runtime/device';
import { maySpin } from '../runtime/session';
import type { TimedVariant } from '../tensornet/sensitivity/run-change';
import type { TokenTimes } from '../tensornet/sensitivity/sensitivity-profile';
import { openDecoder } from './open-decoder';
import { timeInTurns } from './compare-speed';
import type { Turn } from './compare-speed';

const turns = { fewest: 2, most: 32, promptLength: 128 } as const;

interface Where {
  readonly device: DeviceName;
  readonly memoryBytes: number;
  /** Measured milliseconds per variant after which no more turns start. At least two are measured. */
  readonly enough: number;
}

/** Milliseconds per token of the original and of each variant. */
interface MeasuredTimes<Change> {
  readonly whole: TokenTimes;
  readonly changed: readonly (TokenTimes & Change)[];
}

type Context = Pick<JobContext, 'cancellation' | 'progress' | 'warn'>;

/**
 * Measures the time per token of the full model and of variants (linear layers, norms and attention), each variant in
 * turns with the original. Returns undefined for models without a KV cache, if memory can't hold two models in float32,
 * and, with a warning, if a run fails.
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
    // Sublayers are timed one at a time if the full model can't run, for example if a graph reads fewer tokens than it
    // declares.
    const reason = error instanceof Error ? error.message : String(error);
    context.warn(
      say`The full model can't be timed, so budgets in milliseconds count only its linear layers: ${reason}`,
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
    // Paired with the original's time of the same turn, so that other load on the machine affects both.
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
