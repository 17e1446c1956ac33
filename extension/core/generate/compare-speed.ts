import type { JobContext } from '../jobs/job';
import { say } from '../message';
import type { OpenedModel } from '../models/opened-model';
import type { DeviceChoice } from '../runtime/device';
import { resolveDevice } from '../runtime/devices';
import { maySpin } from '../runtime/session';
import { openDecoder, warnRereading } from './open-decoder';
import type { Decoder } from './decoder';
import { median } from '../statistics';
import { seededRandom } from '../data/random';
import { checkpoint } from '../jobs/job';
import type { ModelSummary } from '../models/model-summary';
import type { TokenTimes } from '../tensornet/sensitivity/sensitivity-profile';
import { timed } from './latency';

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

/** Number of turns and length of texts for timing two models. */
interface Turns {
  /** Measured turns after one warm-up: the minimum, and the maximum within `milliseconds`. */
  readonly fewest: number;
  readonly most: number;
  readonly enough: number;
  /** Number of prompt tokens read before generation. */
  readonly promptLength: number;
}

/** Tokens generated after each prompt. */
const tokensPerTurn = 8;

/** Times per token of two models in one turn. */
export type Turn = readonly [TokenTimes, TokenTimes];

/**
 * Measures prompts and the tokens after them for two models in alternating turns, each model twice per turn, so that
 * other load on the machine affects both. The time per token is the median of a turn.
 * @param tell called after every turn
 */
export async function timeInTurns(
  [one, other]: readonly [Decoder, Decoder],
  { vocabularySize = 1, maxPositions = Number.POSITIVE_INFINITY }: ModelSummary,
  { fewest, most, enough, promptLength }: Turns,
  { cancellation }: Pick<JobContext, 'cancellation'>,
  tell: (turn: number) => void,
): Promise<Turn[]> {
  const random = seededRandom(0);
  const length = Math.max(1, Math.min(promptLength, maxPositions - tokensPerTurn));
  const anyTokens = (count: number): Int32Array =>
    Int32Array.from({ length: count }, () => Math.floor(random() * vocabularySize));
  const turns: Turn[] = [];
  const started = performance.now();
  for (let turn = 0; turn <= most; turn++) {
    if (turn > fewest && performance.now() - started > enough) {
      break;
    }
    const [prompt, tokens] = [anyTokens(length), anyTokens(tokensPerTurn)];
    const measureTimes = async (decoder: Decoder): Promise<TokenTimes> => {
      await checkpoint(cancellation);
      return timesOnce(decoder, prompt, tokens);
    };
    const [first, second] = [await measureTimes(one), await measureTimes(other)];
    // The first run of a session allocates its buffers, so it is not measured.
    if (turn > 0) {
      // The order affects the speed of a model, so each model runs once in each position.
      const [again, last] = [await measureTimes(other), await measureTimes(one)];
      turns.push([mean(first, last), mean(second, again)]);
    }
    tell(turn);
  }
  return turns;
}

const mean = (one: TokenTimes, other: TokenTimes): TokenTimes => ({
  prefillMsPerToken: (one.prefillMsPerToken + other.prefillMsPerToken) / 2,
  decodeMsPerToken: (one.decodeMsPerToken + other.decodeMsPerToken) / 2,
});

async function timesOnce(
  decoder: Decoder,
  prompt: Int32Array,
  tokens: Int32Array,
): Promise<TokenTimes> {
  decoder.rewind(0);
  const prefill = await timed(async () => decoder.read(prompt));
  const steps: number[] = [];
  for (const token of tokens) {
    steps.push(await timed(async () => decoder.read(Int32Array.of(token))));
  }
  return { prefillMsPerToken: prefill / prompt.length, decodeMsPerToken: median(steps) };
}

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
