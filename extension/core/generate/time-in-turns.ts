import { seededRandom } from '../data/random';
import { checkpoint } from '../jobs/job';
import type { JobContext } from '../jobs/job';
import { median } from '../median';
import type { ModelSummary } from '../models/model-summary';
import type { TokenTimes } from '../tensornet/sensitivity/sensitivity-profile';
import type { Decoder } from './decoder';
import { timed } from './latency';

/** How two models are timed. */
export interface Turns {
  /** Turns that count, after one to warm up: the fewest, and as many as begin within so many milliseconds. */
  readonly fewest: number;
  readonly most: number;
  readonly enough: number;
  /** Tokens that are read before any is generated. */
  readonly promptLength: number;
}

/** Tokens generated behind each prompt. */
const tokensPerTurn = 8;

/** A turn of two models: what a token of each took. */
export type Turn = readonly [TokenTimes, TokenTimes];

/**
 * Times a prompt and tokens behind it by two models in turn, each twice, so that whatever else runs on the machine slows
 * both; of the tokens behind a prompt the median counts.
 * @param tell is called behind every turn
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
    const timesOf = async (decoder: Decoder): Promise<TokenTimes> => {
      await checkpoint(cancellation);
      return timesOnce(decoder, prompt, tokens);
    };
    const [first, second] = [await timesOf(one), await timesOf(other)];
    // The first run of a session allocates its buffers.
    if (turn > 0) {
      // A model that has just run is faster or slower than one that follows another: each is both.
      const [again, last] = [await timesOf(other), await timesOf(one)];
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
