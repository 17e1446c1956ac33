import { seededRandom, shuffle } from '../data/random';
import type { JobContext } from '../jobs/job';
import { say } from '../message';
import type { LayeredExecutor } from '../runtime/layered-executor';
import { UserError } from '../user-error';
import { evaluatePerplexity } from './perplexity';

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
