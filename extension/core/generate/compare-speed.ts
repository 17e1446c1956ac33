import { seededRandom } from '../data/random';
import { checkpoint } from '../jobs/job';
import type { JobContext } from '../jobs/job';
import { say } from '../message';
import type { OpenedModel } from '../models/opened-model';
import type { DeviceChoice } from '../runtime/device';
import { resolveDevice } from '../runtime/devices';
import { openDecoder, warnRereading } from './open-decoder';
import type { Decoder } from './decoder';
import { median } from '../median';
import { timed } from './latency';

/** Two models that generate, and where. */
export interface SpeedRequest {
  readonly original: OpenedModel;
  readonly changed: OpenedModel;
  readonly device: DeviceChoice;
  readonly memoryBytes: number;
}

/** Tokens that two models generate in a second. */
export interface Speeds {
  /** Of the original and of the changed model, medians over turns. */
  readonly before: number;
  readonly after: number;
  /** Time of a token of the original over that of the changed model, by turn. */
  readonly ratios: readonly number[];
}

/** Turns that count, after one to warm up; tokens that are read first, and generated in each. */
const [turns, promptLength, tokensPerTurn] = [8, 32, 8];

/** Times generation by two models in turn, so that whatever else runs on the machine slows both. */
export async function compareSpeed(request: SpeedRequest, context: JobContext): Promise<Speeds> {
  const { original, changed, memoryBytes } = request;
  const device = await resolveDevice(request.device, (message) => {
    context.warn(message);
  });
  const decoders: Decoder[] = [];
  try {
    for (const { model } of [original, changed]) {
      const options = { device, memoryBytes: memoryBytes / 2, removed: [] };
      const decoder = await openDecoder(model, options);
      decoders.push(decoder);
      warnRereading(model.summary.name, decoder, context);
    }
    const random = seededRandom(0);
    const { vocabularySize = 1, maxPositions = Number.POSITIVE_INFINITY } = changed.summary;
    const anyToken = (): number => Math.floor(random() * vocabularySize);
    const length = Math.max(1, Math.min(promptLength, maxPositions - tokensPerTurn));
    const times: number[][] = [];
    const inTurn = [...decoders.entries()];
    for (let turn = 0; turn <= turns; turn++) {
      const prompt = Int32Array.from({ length }, anyToken);
      const tokens = Array.from({ length: tokensPerTurn }, anyToken);
      const own: number[] = [];
      for (const [model, decoder] of inTurn) {
        await checkpoint(context.cancellation);
        own[model] = await timeOf(decoder, prompt, tokens);
      }
      // Neither is always the first.
      inTurn.reverse();
      // The first run of a session allocates its buffers.
      if (turn > 0) {
        times.push(own);
      }
      context.progress({ stage: say`Timing both models`, done: turn, total: turns, unit: 'steps' });
    }
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

/** Milliseconds of a token behind a prompt, the median. */
async function timeOf(
  decoder: Decoder,
  prompt: Int32Array,
  tokens: readonly number[],
): Promise<number> {
  decoder.rewind(0);
  await decoder.read(prompt);
  const steps: number[] = [];
  for (const token of tokens) {
    steps.push(await timed(async () => decoder.read(Int32Array.of(token))));
  }
  return median(steps);
}
