import type { JobContext } from '../jobs/job';
import { resolveIds } from '../prune/candidates';
import type { ProfileEvaluation } from '../prune/layer-profile';
import type { SearchedModel } from '../prune/profile-model';
import { readHeldOut } from './held-out';
import { evaluatePerplexity, modelWindowLength } from './perplexity';

/** Nobody waits longer for what was not asked for. */
const mostSeconds = 10;
/** Windows of text that show a collapse. */
const leastWindows = 2;

/** Held-out text, and what it is called in a profile. */
export interface HeldOut {
  readonly file: string;
  readonly name: string;
}

/**
 * Perplexity of the original and of the model without what a search has removed, on what an evaluation reads of a
 * held-out text, or on its first windows where all take longer than a person waits for; none where those do, too.
 * @throws UserError if text and model do not fit
 */
export async function perplexityByRounds(
  { executor, removed, secondsPerToken }: SearchedModel,
  { file, name }: HeldOut,
  context: Pick<JobContext, 'cancellation' | 'progress'>,
): Promise<readonly ProfileEvaluation[]> {
  const { model } = executor;
  const length = modelWindowLength(model);
  // Each of the two models is run over the text, and over a window to warm up.
  const affordable = Math.floor(mostSeconds / (2 * length * secondsPerToken)) - 1;
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
    const options = { length, removed: removedIds };
    const { perplexity, tokens, tokensPerSecond } = await evaluatePerplexity(
      ...([executor, ids, options, context] as const),
    );
    found.push({ rounds, text: name, perplexity, tokens, tokensPerSecond, ...partial });
  }
  return found;
}
