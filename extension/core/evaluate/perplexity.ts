import { checkpoint } from '../jobs/job';
import type { JobContext } from '../jobs/job';
import type { LayeredExecutor } from '../runtime/layered-executor';
import { negativeLogLikelihood, requireNextTokens } from '../runtime/negative-log-likelihood';
import { explainNonFinite } from '../runtime/non-finite';
import type { HiddenState } from '../runtime/tensors';
import { UserError } from '../user-error';
import type { Evaluation } from './evaluation';

/** Tokens per window; a model with fewer positions gets windows of its own length. */
export const defaultWindowLength = 256;
/** Tokens sent through a sublayer at once: enough to keep all cores busy, few enough to stop soon. */
const tokensPerBatch = 2048;
/** Hidden states of each window that live at once: what goes in, what comes out, and both joined. */
const statesPerWindow = 4;

/** Where a graph does not tell. */
const usualHiddenSize = 4096;

export interface PerplexityOptions {
  /** Tokens per window, cut to the model's positions. */
  readonly length?: number;
  /** Units that the model lacks, see RemovableUnits. */
  readonly removed?: ReadonlySet<number>;
}

type Watcher = Pick<JobContext, 'cancellation' | 'progress'>;

/**
 * Perplexity exp(−1/T · Σ log p(xₜ | x₀ … xₜ₋₁)) in nats of a whole text, read in windows that do
 * not overlap; the last may be shorter. T counts every token but the first of each window. The
 * throughput leaves out one window run before to warm up.
 */
export async function evaluatePerplexity(
  executor: LayeredExecutor,
  ids: Int32Array,
  options: PerplexityOptions,
  watcher: Watcher,
): Promise<Evaluation> {
  requireNextTokens(executor.model);
  const { name, path, maxPositions, hiddenSize = usualHiddenSize } = executor.model.summary;
  const removed = options.removed ?? new Set();
  const length = Math.min(
    options.length ?? defaultWindowLength,
    maxPositions ?? Number.POSITIVE_INFINITY,
  );
  const windows = divide(ids, length);
  const [first] = windows;
  if (first === undefined) {
    throw new UserError(
      `Perplexity needs windows of at least two tokens; the text has ${ids.length} tokens, a window ${length}.`,
      { remedy: 'Choose a longer text or longer windows.' },
    );
  }
  const bytesPerWindow = length * hiddenSize * Float32Array.BYTES_PER_ELEMENT * statesPerWindow;
  const perBatch = Math.min(tokensPerBatch / length, executor.stateBytes / bytesPerWindow);
  const batches = batchEqual(windows, Math.max(1, Math.floor(perBatch)));

  await lossesOf(executor, [first], removed, watcher, () => undefined);
  let loss = 0;
  let milliseconds = 0;
  let done = 0;
  for (const batch of batches) {
    const report = (share: number): void => {
      watcher.progress({
        stage: `Evaluating ${name}`,
        done: done + Math.floor(share * batch.length),
        total: windows.length,
        unit: 'sequences',
      });
    };
    const started = performance.now();
    for (const windowLoss of await lossesOf(executor, batch, removed, watcher, report)) {
      loss += windowLoss;
    }
    milliseconds += performance.now() - started;
    report(1);
    done += batch.length;
  }
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

/** Windows of `length` ids and a last one of what remains, if that is two at least. */
function divide(ids: Int32Array, length: number): Int32Array[] {
  return Array.from({ length: Math.ceil(ids.length / length) }, (_, i) =>
    ids.slice(i * length, (i + 1) * length),
  ).filter((window) => window.length > 1);
}

/** Groups of at most `size` windows of one length. */
function batchEqual(windows: readonly Int32Array[], size: number): Int32Array[][] {
  const batches: Int32Array[][] = [];
  for (const window of windows) {
    const last = batches.at(-1);
    if (last === undefined || last.length === size || last[0]?.length !== window.length) {
      batches.push([window]);
    } else {
      last.push(window);
    }
  }
  return batches;
}

/** Σ −log p of each window of a batch, in nats. */
async function lossesOf(
  executor: LayeredExecutor,
  batch: readonly Int32Array[],
  removed: ReadonlySet<number>,
  { cancellation }: Watcher,
  report: (share: number) => void,
): Promise<number[]> {
  const sublayers = executor.model.summary.sublayers.length;
  let states: HiddenState[] = [];
  for (const window of batch) {
    states.push(await executor.embed(window));
  }
  for (let index = 0; index < sublayers; index++) {
    await checkpoint(cancellation);
    report(index / sublayers);
    states = await executor.pass(index, states, removed);
  }
  const losses: number[] = [];
  for (const [i, window] of batch.entries()) {
    await checkpoint(cancellation);
    const state = states[i];
    const loss = state ? await negativeLogLikelihood(executor, window, state) : Number.NaN;
    if (!Number.isFinite(loss)) {
      throw await explainNonFinite(executor, window, removed);
    }
    losses.push(loss);
  }
  return losses;
}
