import type { JobContext } from '../jobs/job';
import type { LayeredExecutor } from '../runtime/layered-executor';
import { negativeLogLikelihood, requireNextTokens } from '../runtime/next-token';
import { divideIds, windowSums } from '../runtime/windows';
import { UserError } from '../user-error';
import type { Evaluation } from './evaluation';

/** Tokens per window; a model with fewer positions gets windows of its own length. */
export const defaultWindowLength = 256;

export interface PerplexityOptions {
  /** Tokens per window, cut to the model's positions. */
  readonly length?: number;
  /** Indexes of sublayers to skip. */
  readonly removed?: ReadonlySet<number>;
}

/**
 * Perplexity exp(−1/T · Σ log p(xₜ | x₀ … xₜ₋₁)) in nats of a whole text, read in windows that do
 * not overlap; the last may be shorter. T counts every token but the first of each window. The
 * throughput leaves out one window run before to warm up.
 */
export async function evaluatePerplexity(
  executor: LayeredExecutor,
  ids: Int32Array,
  options: PerplexityOptions,
  watcher: Pick<JobContext, 'cancellation' | 'progress'>,
): Promise<Evaluation> {
  requireNextTokens(executor.model);
  const { name, path, maxPositions } = executor.model.summary;
  const removed = options.removed ?? new Set();
  const length = Math.min(
    options.length ?? defaultWindowLength,
    maxPositions ?? Number.POSITIVE_INFINITY,
  );
  const windows = divideIds(ids, length);
  const [first] = windows;
  if (first === undefined) {
    throw new UserError(
      `Perplexity needs windows of at least two tokens; the text has ${ids.length} tokens, a window ${length}.`,
      { remedy: 'Choose a longer text or longer windows.' },
    );
  }
  const work = { term: negativeLogLikelihood, removed, stage: `Evaluating ${name}` };
  const quiet = { cancellation: watcher.cancellation, progress: () => undefined };
  await windowSums(executor, [first], work, quiet);
  const started = performance.now();
  const losses = await windowSums(executor, windows, work, watcher);
  const milliseconds = performance.now() - started;
  const loss = losses.reduce((total, sum) => total + sum, 0);
  const run = windows.reduce((total, window) => total + window.length, 0);
  const tokens = run - windows.length;
  const perplexity = Math.exp(loss / tokens);
  if (!Number.isFinite(perplexity)) {
    throw new UserError(
      `A loss of ${(loss / tokens).toFixed(0)} nats per token has no perplexity.`,
      {
        file: path,
        remedy: 'Remove fewer sublayers.',
      },
    );
  }
  return { perplexity, tokens, tokensPerSecond: (run * 1000) / milliseconds };
}
