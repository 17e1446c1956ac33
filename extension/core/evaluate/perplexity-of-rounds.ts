import type { JobContext } from '../jobs/job';
import { resolveIds } from '../prune/candidates';
import type { ProfileEvaluation } from '../prune/layer-profile';
import type { SearchedModel } from '../prune/profile-model';
import type { LayeredModel } from '../models/layered-model';
import { readHeldOut } from './held-out';
import { defaultWindows, evaluatePerplexity, modelWindowLength } from './perplexity';

/** Maximum seconds of a measurement that the user didn't request. */
const mostSeconds = 10;
/** Minimum number of windows that reveal a collapse. */
const leastWindows = 2;

/** Held-out text and its name in a profile. */
export interface HeldOut {
  readonly file: string;
  readonly name: string;
}

/** Number of windows on which two models are evaluated in {@link mostSeconds}, after one window to warm up. */
const affordableWindows = (secondsPerWindow: number): number =>
  Math.floor((mostSeconds / secondsPerWindow - 1) / 2);

/**
 * Expected seconds of {@link perplexityByRounds}, from the seconds per token of the original and of the pruned model.
 */
export function perplexitySeconds(model: LayeredModel, original: number, pruned: number): number {
  const length = modelWindowLength(model);
  const windows = Math.min(defaultWindows, affordableWindows(length * original));
  return windows < leastWindows ? 0 : ((windows + 1) * original + windows * pruned) * length;
}

/**
 * Perplexity of the original and of the model after a search's removals, on the default held-out windows, on fewer if
 * all take longer than {@link mostSeconds}, or on none if even those do.
 */
export async function perplexityByRounds(
  { executor, removed, secondsPerToken }: SearchedModel,
  { file, name }: HeldOut,
  context: Pick<JobContext, 'cancellation' | 'progress'>,
): Promise<readonly ProfileEvaluation[]> {
  const { model } = executor;
  const length = modelWindowLength(model);
  const affordable = affordableWindows(length * secondsPerToken);
  if (!(affordable >= leastWindows)) {
    return [];
  }
  const all = await readHeldOut(file, model, length);
  const ids = all.slice(0, affordable);
  const partial = ids.length < all.length ? { partial: true as const } : {};
  const found: ProfileEvaluation[] = [];
  for (const rounds of new Set([0, removed.length])) {
    const removedIds = new Set(
      resolveIds(model.summary, removed.slice(0, rounds), { field: 'removed' }),
    );
    const options = { length, removed: removedIds, isWarm: found.length > 0 };
    const { perplexity, tokens, tokensPerSecond } = await evaluatePerplexity(
      ...([executor, ids, options, context] as const),
    );
    found.push({ rounds, text: name, perplexity, tokens, tokensPerSecond, ...partial });
  }
  return found;
}
