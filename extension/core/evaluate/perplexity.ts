import * as v from 'valibot';
import type { JobContext } from '../jobs/job';
import { unsavedPart } from '../jobs/saved-parts';
import type { SavedPart } from '../jobs/saved-parts';
import type { LayeredModel } from '../models/layered-model';
import { AnsweredIds } from '../models/model-input';
import type { ModelInput } from '../models/model-input';
import type { LayeredExecutor } from '../runtime/layered-executor';
import { negativeLogLikelihood, requireNextTokens } from '../runtime/next-token';
import { divideIds, wholeWindow, windowSums } from '../runtime/windows';
import type { TextWindow, WindowSums } from '../runtime/windows';
import { UserError } from '../user-error';
import type { Evaluation } from './evaluation';
import type { Loss } from './paired';
import { counted, say } from '../message';
import { targetStartId } from '../models/example';
import { seededRandom, shuffle } from '../data/random';

/** Tokens per window; a model with fewer positions gets windows of its own length. */
export const defaultWindowLength = 256;
/** Default number of windows, spread over a held-out text: enough to see small changes, few enough to wait for. */
export const defaultWindows = 8;

/** Tokens of a held-out text that are read by default. */
export const defaultTokens = defaultWindows * defaultWindowLength;

/** Tokens in a window of a model. */
export const modelWindowLength = ({ summary }: Pick<LayeredModel, 'summary'>): number =>
  Math.min(defaultWindowLength, summary.maxPositions ?? Infinity);

export interface PerplexityOptions {
  /** Tokens per window, cut to the model's positions. */
  readonly length?: number;
  /**
   * Number of new tokens that each window predicts, so that the other tokens are read with more
   * context; the window's length, without overlap, if absent.
   */
  readonly stride?: number;
  /** Removed units, see RemovableUnits. */
  readonly removed?: ReadonlySet<number>;
  /** True if the executor has just run these sublayers, so that its speed is measured without a warm-up window. */
  readonly isWarm?: boolean;
  readonly saved?: SavedPart<WindowLoss>;
}

export const windowLossSchema = v.object({ sum: v.number(), milliseconds: v.number() });

/** Sum of negative log-likelihoods of a window, and its duration. */
export type WindowLoss = Readonly<v.InferOutput<typeof windowLossSchema>>;

/** Ids of a text, prepared windows, or recordings with transcripts. */
export type HeldOutIds = Int32Array | readonly ModelInput[];

/** A perplexity, and the loss of each window. */
export type MeasuredText = Evaluation & { readonly losses: readonly Loss[] };

/**
 * Perplexity exp(−1/T · Σ log p(xₜ | x₀ … xₜ₋₁)) in nats of a whole text, read in windows. Without
 * a stride they do not overlap, the last may be shorter, and T counts every token but the first of
 * each. With one, a window starts every `stride` tokens, and T counts every token but the text's
 * first, once. An encoder–decoder model predicts the second half of each window, or with a stride
 * its last `stride` tokens, from the rest as the source. The throughput excludes one warm-up
 * window, unless the executor is warm.
 */
export async function evaluatePerplexity(
  executor: LayeredExecutor,
  text: HeldOutIds,
  options: PerplexityOptions,
  watcher: Pick<JobContext, 'cancellation' | 'progress'>,
): Promise<MeasuredText> {
  const { model } = executor;
  const windows = windowsToPredict(model, text, options);
  const { removed = new Set(), isWarm = false, saved = unsavedPart() } = options;
  const losses = [...saved.values];
  const work = {
    terms: [negativeLogLikelihood],
    removed,
    stage: say`Evaluating ${model.summary.name}`,
  };
  if (!isWarm) {
    const quiet = { cancellation: watcher.cancellation, progress: () => undefined };
    await windowSums(executor, windows.slice(losses.length, losses.length + 1), work, quiet);
  }
  let started = performance.now();
  const timed: SavedPart<WindowSums> = {
    values: losses.map(({ sum }) => [sum]),
    add: async (sums) => {
      const milliseconds = (performance.now() - started) / sums.length;
      const found = sums.map(([sum = Number.NaN]) => ({ sum, milliseconds }));
      losses.push(...found);
      await saved.add(found);
      started = performance.now();
    },
  };
  await windowSums(executor, windows, { ...work, saved: timed }, watcher);
  const sums = losses.map(({ sum }) => sum);
  const milliseconds = losses.reduce((total, one) => total + one.milliseconds, 0);
  return toPerplexity(model, windows, sums, milliseconds);
}

/**
 * Windows of a text to run.
 * @throws UserError if it has none, or the model predicts no next token.
 */
export function windowsToPredict(
  model: LayeredModel,
  text: HeldOutIds,
  options: PerplexityOptions,
): TextWindow[] {
  requireNextTokens(model);
  const length = Math.min(
    options.length ?? defaultWindowLength,
    model.summary.maxPositions ?? Number.POSITIVE_INFINITY,
  );
  const windows = splitIntoWindows(model, text, length, options.stride);
  if (windows.length === 0) {
    throw new UserError(
      'windows-too-short',
      say`Perplexity needs windows of at least two tokens; the text has ${counted(text instanceof Int32Array ? text.length : 0, 'token')}, a window ${length}.`,
      { remedy: say`Choose a longer text or longer windows.` },
    );
  }
  return windows;
}

/**
 * Perplexity from the sum of negative log-likelihoods of each window.
 * @throws UserError if it is not finite.
 */
export function toPerplexity(
  { summary: { path } }: Pick<LayeredModel, 'summary'>,
  windows: readonly TextWindow[],
  sums: readonly number[],
  milliseconds: number,
): MeasuredText {
  const losses = windows.map(({ targets }, i): Loss => ({
    sum: sums[i] ?? Number.NaN,
    tokens: targets.filter((id) => id >= 0).length,
  }));
  const run = windows.reduce((total, { input, targets }) => total + countTokens(input, targets), 0);
  const tokens = losses.reduce((total, window) => total + window.tokens, 0);
  const perplexity = perplexityFrom(losses);
  if (!Number.isFinite(perplexity)) {
    throw new UserError(
      'perplexity-infinite',
      say`Perplexity is not finite at a loss of ${meanLoss(losses).toFixed(0)} nats per token.`,
      { file: path, remedy: say`Remove fewer sublayers.` },
    );
  }
  return { perplexity, tokens, tokensPerSecond: (run * 1000) / milliseconds, losses };
}

/** exp(mean negative log-likelihood) over all tokens of some windows. */
export const perplexityFrom = (losses: readonly Loss[]): number => Math.exp(meanLoss(losses));

const meanLoss = (losses: readonly Loss[]): number =>
  losses.reduce((total, { sum }) => total + sum, 0) /
  losses.reduce((total, { tokens }) => total + tokens, 0);

/** Number of tokens read of a text, or written for a recording. */
const countTokens = (input: ModelInput, targets: Int32Array): number =>
  input instanceof Int32Array ? input.length : targets.length;

function splitIntoWindows(
  model: LayeredModel,
  ids: HeldOutIds,
  length: number,
  stride: number | undefined,
): TextWindow[] {
  if (!(ids instanceof Int32Array) || stride === undefined) {
    const windows = ids instanceof Int32Array ? divideIds(ids, length) : ids;
    return windows.map((window) => wholeWindow(model, window));
  }
  if (!Number.isSafeInteger(stride) || stride < 1 || stride >= length) {
    throw new UserError(
      'stride-invalid',
      say`A stride must be an integer from 1 to below ${length}, not ${stride}.`,
      { field: 'stride', remedy: undefined },
    );
  }
  if (targetStartId(model) !== undefined) {
    const count = Math.max(0, Math.ceil((ids.length - length + stride) / stride));
    return Array.from({ length: count }, (_, i) => ids.slice(i * stride, i * stride + length))
      .filter((window) => window.length > length - stride)
      .map((window) => wholeWindow(model, new AnsweredIds(window, length - stride)));
  }
  const windows: TextWindow[] = [];
  let predicted = 1;
  for (let start = 0; predicted < ids.length; start += stride) {
    const input = ids.slice(start, start + length);
    const from = predicted;
    const targets = Int32Array.from(input.subarray(1), (id, i) => (start + i + 1 < from ? -1 : id));
    predicted = start + input.length;
    windows.push({ input, targets });
  }
  return windows;
}

/** Perplexities of a model whose family was inferred, in order and shuffled, to check the inference. */
export interface GuessCheck {
  readonly perplexity: number;
  /** Perplexity of the same tokens in random order. */
  readonly shuffled: number;
}

/** Number of tokens of the text that are read. */
export const guessTokens = 256;
/**
 * Smallest ratio of vocabulary size to perplexity. A model that computes nothing sensible does
 * little better than chance.
 */
const leastBelowVocabulary = 16;
/** Minimum ratio of the shuffled to the ordered perplexity of a correctly computed model. */
const leastBelowShuffled = 2;

/**
 * Checks that a model predicts a text far better than chance, and better than its tokens in random
 * order.
 * @throws UserError with the perplexities if it doesn't.
 */
export async function checkGuess(
  executor: LayeredExecutor,
  text: Int32Array,
  family: string,
  context: Pick<JobContext, 'cancellation' | 'progress'>,
): Promise<GuessCheck> {
  const { path, vocabularySize = 0 } = executor.model.summary;
  const mixed = Int32Array.from(shuffle([...text], seededRandom(0)));
  const measure = async (read: Int32Array): Promise<number> =>
    (await evaluatePerplexity(executor, read, {}, context)).perplexity;
  const check = { perplexity: await measure(text), shuffled: await measure(mixed) };
  if (
    check.perplexity * leastBelowVocabulary > vocabularySize ||
    check.perplexity * leastBelowShuffled > check.shuffled
  ) {
    throw new UserError(
      'guessed-family-wrong',
      say`Run as ${family}, the model doesn't predict text: perplexity ${check.perplexity.toFixed(1)} on a short text, ${check.shuffled.toFixed(1)} with shuffled tokens, with a vocabulary of ${vocabularySize}.`,
      {
        file: path,
        remedy: say`Try a text in the model's language (--text), or another family (--family).`,
      },
    );
  }
  return check;
}
