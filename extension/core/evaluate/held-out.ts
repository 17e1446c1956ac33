import { encodeAnswer, holdsPairs } from '../data/tasks/pairs';
import type { Example } from '../data/tasks/task-example';
import { readTask } from '../data/tasks/task-file';
import { readExcerpts, readTokens } from '../data/text-tokens';
import { loadTokenizer } from '../data/tokenizer';
import type { JobContext } from '../jobs/job';
import type { LayeredModel } from '../models/layered-model';
import { divideIds } from '../runtime/windows';
import { defaultTokens, defaultWindows } from './perplexity';
import { say } from '../message';

/** Ids of a held-out text, or windows of it, such as pairs of source and target. */
export type HeldOut = Int32Array | readonly Int32Array[];

/** Tokens of a source, and of a target, where a model sets no limit. */
const longestPart = 1024;

/**
 * What every measurement reads of a held-out text by default, so that a model has one perplexity: windows from all over
 * it, or the first pairs of source and target that have as many tokens.
 * @param length tokens of a window
 * @throws UserError where text and model do not fit
 */
export async function readHeldOut(
  file: string,
  model: LayeredModel,
  length: number,
): Promise<readonly Int32Array[]> {
  return (await holdsPairs(file, model))
    ? readPairs(file, model, defaultTokens)
    : divideIds(await readExcerpts(file, model, { count: defaultWindows, length }), length);
}

/** All of a held-out text. */
export async function readWholeText(file: string, model: LayeredModel): Promise<HeldOut> {
  return (await holdsPairs(file, model)) ? readPairs(file, model) : readTokens(file, model);
}

async function readPairs(
  file: string,
  model: LayeredModel,
  most = Number.POSITIVE_INFINITY,
): Promise<Int32Array[]> {
  const { examples } = await readTask(file);
  const tokenizer = await loadTokenizer(model.summary.path);
  const options = { model, file, most: model.summary.maxPositions ?? longestPart };
  const pairs: Int32Array[] = [];
  let tokens = 0;
  for (const example of examples as readonly Example[]) {
    if (tokens >= most) {
      break;
    }
    const pair = encodeAnswer(tokenizer, example, options);
    pairs.push(pair);
    tokens += pair.length;
  }
  return pairs;
}

/** Says so where a model that reads source and target is given a text of neither. */
export async function warnHalves(
  file: string,
  models: readonly LayeredModel[],
  { warn }: Pick<JobContext, 'warn'>,
): Promise<void> {
  for (const { targetStart, summary } of models) {
    if (targetStart !== undefined && !(await holdsPairs(file, { targetStart }))) {
      warn(
        say`${summary.name} reads a source and a target: the first half of each window is its source, and perplexity is that of the second half. For its own task, give a .jsonl file of pairs with input and target.`,
      );
      return;
    }
  }
}
