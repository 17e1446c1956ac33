import type { JobContext } from '../jobs/job';
import { say } from '../message';
import type { OpenedModel } from '../models/opened-model';
import type { DeviceChoice } from '../runtime/device';
import { resolveDevice } from '../runtime/devices';
import { maySpin } from '../runtime/session';
import { openDecoder, warnRereading } from './open-decoder';
import type { Decoder } from './decoder';
import { median } from '../median';
import { timeInTurns } from './time-in-turns';

/** Two models whose generation speed is compared, and the device. */
export interface SpeedRequest {
  readonly original: OpenedModel;
  readonly changed: OpenedModel;
  readonly device: DeviceChoice;
  readonly memoryBytes: number;
}

/** Decode speed of two models, in tokens/s. */
export interface Speeds {
  /** Median tokens/s of the original and of the changed model. */
  readonly before: number;
  readonly after: number;
  /** Ratio of the original's time per token to the changed model's, per turn. */
  readonly ratios: readonly number[];
}

const turns = { fewest: 4, most: 32, enough: 2000, promptLength: 32 } as const;

/** Measures decode speed of two models in alternating turns, so that other load on the machine affects both. */
export async function compareSpeed(request: SpeedRequest, context: JobContext): Promise<Speeds> {
  const { original, changed, memoryBytes } = request;
  const device = await resolveDevice(request.device, (message) => {
    context.warn(message);
  });
  const options = { device, memoryBytes: memoryBytes / 2, removed: [], spin: maySpin() };
  const decoders: Decoder[] = [];
  try {
    for (const { model } of [original, changed]) {
      const decoder = await openDecoder(model, options);
      decoders.push(decoder);
      warnRereading(model.summary.name, decoder, context);
    }
    const [before, after] = decoders;
    if (before === undefined || after === undefined) {
      throw new Error('two models are compared');
    }
    const total = turns.fewest;
    const found = await timeInTurns([before, after], changed.summary, turns, context, (turn) => {
      const done = Math.min(turn, total);
      context.progress({ stage: say`Timing both models`, done, total, unit: 'steps' });
    });
    const times = found.map((turn) => turn.map(({ decodeMsPerToken }) => decodeMsPerToken));
    const perSecond = (model: number): number =>
      1000 / median(times.map((own) => own[model] ?? Number.NaN));
    return {
      before: perSecond(0),
      after: perSecond(1),
      ratios: times.map(([before = Number.NaN, after = Number.NaN]) => before / after),
    };
  } finally {
    await Promise.all(decoders.map(async (decoder) => decoder.dispose()));
  }
}
