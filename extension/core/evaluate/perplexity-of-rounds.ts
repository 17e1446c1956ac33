import { readExcerpts } from '../data/text-tokens';
import type { JobContext } from '../jobs/job';
import { resolveIds } from '../prune/candidates';
import type { ProfileEvaluation } from '../prune/layer-profile';
import type { SearchedModel } from '../prune/profile-model';
import { defaultWindowLength, evaluatePerplexity } from './perplexity';

/** Nobody waits longer for what was not asked for. */
const mostSeconds = 10;
/** Windows of text: enough to see a collapse, and as many as tell small changes apart. */
const [leastWindows, mostWindows] = [2, 8];

/** Held-out text, and what it is called in a profile. */
export interface HeldOut {
  readonly file: string;
  readonly name: string;
}

/**
 * Perplexity of the original and of the model without what a search has removed, on excerpts of a held-out text;
 * none where that takes longer than a person waits for.
 * @throws UserError where text and model do not fit
 */
export async function perplexityOfRounds(
  { executor, removed, secondsPerToken }: SearchedModel,
  { file, name }: HeldOut,
  context: Pick<JobContext, 'cancellation' | 'progress'>,
): Promise<readonly ProfileEvaluation[]> {
  const { model } = executor;
  const length = Math.min(defaultWindowLength, model.summary.maxPositions ?? Infinity);
  // Each of the two models is run over the text, and over a window to warm up.
  const affordable = Math.floor(mostSeconds / (2 * length * secondsPerToken)) - 1;
  if (!(affordable >= leastWindows)) {
    return [];
  }
  const count = Math.min(affordable, mostWindows);
  const ids = await readExcerpts(file, model, { count, length });
  const found: ProfileEvaluation[] = [];
  for (const rounds of new Set([0, removed.length])) {
    const gone = new Set(resolveIds(model.summary, removed.slice(0, rounds), { field: 'removed' }));
    const options = { length, removed: gone };
    const { perplexity, tokens, tokensPerSecond } = await evaluatePerplexity(
      ...([executor, ids, options, context] as const),
    );
    found.push({ rounds, text: name, perplexity, tokens, tokensPerSecond, excerpt: true });
  }
  return found;
}
