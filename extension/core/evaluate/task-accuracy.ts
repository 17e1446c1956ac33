import type { Tokenizer } from '../data/tokenizer';
import { AnsweredIds } from '../models/model-input';
import { encodePair } from '../data/tasks/pairs';
import type { JobContext } from '../jobs/job';
import type { SavedPart } from '../jobs/saved-parts';
import type { LayeredModel } from '../models/layered-model';
import type { LayeredExecutor } from '../runtime/layered-executor';
import { top1Hit, negativeLogLikelihood, requireNextTokens } from '../runtime/next-token';
import type { TextWindow, WindowSums, WindowWork } from '../runtime/windows';
import { countPositions, wholeWindow, windowSums } from '../runtime/windows';
import type { ChoicesExample, Pair } from '../data/tasks/task-example';
import type { Task } from '../data/tasks/task-file';
import { say } from '../message';
import { targetStartId } from '../models/example';

/** Score of a model on a task. */
export interface TaskResult {
  readonly task: string;
  readonly kind: Task['kind'];
  readonly examples: number;
  /**
   * Share of the examples for which the right choice is the most likely, every token of the last
   * word is predicted, or the generated answer is right.
   */
  readonly acc: number;
  /**
   * Multiple choice: the same with log-likelihoods divided by the choices' lengths in characters;
   * absent if the choices are in the contexts.
   */
  readonly accNorm?: number;
  /** Standard errors of both, √(a(1 − a)/(n − 1)). */
  readonly accError: number;
  readonly accNormError?: number;
  /** Last word: exp(mean negative log-likelihood of a word). */
  readonly perplexity?: number;
}

/** Continuation whose likelihood is measured. */
export interface Continuation {
  readonly window: TextWindow;
  readonly tokens: number;
}

/** Result of a task, with the results of each example. */
export interface TaskAnswers {
  readonly result: TaskResult;
  /** True for each example that `acc` counts as right. */
  readonly right: readonly boolean[];
  /** Log-likelihood of each pair of each example, in nats; empty if answers are generated. */
  readonly logLikelihoods: readonly (readonly number[])[];
}

/** Task that is scored by likelihoods. */
export type LikelihoodTask = Exclude<Task, { readonly kind: 'exact-match' }>;

/**
 * Continuations of all pairs of a task, in order, with the special tokens that the tokenizer adds. Texts that are too
 * long are truncated at the start.
 * @throws UserError for a model whose output predicts no next token.
 */
export function encodeTask(
  model: LayeredModel,
  tokenizer: Tokenizer,
  task: LikelihoodTask,
): Continuation[] {
  requireNextTokens(model);
  return task.examples.flatMap(({ pairs }: { readonly pairs: readonly Pair[] }) =>
    pairs.map((pair) => makeContinuation(model, tokenizer, pair, task.file)),
  );
}

/**
 * Scores a task as EleutherAI's lm-evaluation-harness does, by log p(continuation | context): `acc`, `acc_norm` of
 * `multiple_choice`, and the greedy `acc` and perplexity of LAMBADA.
 * @param continuations of the task, see {@link encodeTask}
 */
export async function evaluateTask(
  executor: LayeredExecutor,
  task: LikelihoodTask,
  continuations: readonly Continuation[],
  removed: ReadonlySet<number>,
  saved: SavedPart<WindowSums>,
  watcher: Pick<JobContext, 'cancellation' | 'progress'>,
): Promise<TaskAnswers> {
  const stage = say`Evaluating ${task.name}`;
  const work = { terms: [negativeLogLikelihood, top1Hit], removed, stage, saved };
  const sums = await runInAnyOrder(executor, continuations, work, watcher);
  return task.kind === 'multiple-choice'
    ? judgeChoices(task.name, task.examples, sums)
    : judgeLastWords(task.name, continuations, sums);
}

/** Fraction of correct answers, with its standard error. */
export function accuracy(right: readonly boolean[]): Pick<TaskResult, 'acc' | 'accError'> {
  const count = right.filter(Boolean).length;
  return { acc: count / right.length, accError: standardError(count, right.length) };
}

/** Runs windows of equal length together. */
async function runInAnyOrder(
  executor: LayeredExecutor,
  continuations: readonly Continuation[],
  work: WindowWork,
  watcher: Pick<JobContext, 'cancellation' | 'progress'>,
): Promise<WindowSums[]> {
  const order = continuations
    .map((_, i) => i)
    .sort(
      (a, b) =>
        countPositions(continuations[a]?.window.input ?? {}) -
        countPositions(continuations[b]?.window.input ?? {}),
    );
  const found = await windowSums(
    executor,
    order.flatMap((i) => continuations[i]?.window ?? []),
    work,
    watcher,
  );
  const sums = new Array<WindowSums>(order.length);
  order.forEach((i, place) => {
    sums[i] = found[place] ?? [];
  });
  return sums;
}

function makeContinuation(
  model: LayeredModel,
  tokenizer: Tokenizer,
  pair: Pair,
  file: string,
): Continuation {
  const { maxPositions = Number.POSITIVE_INFINITY } = model.summary;
  // The last token is no input of a decoder: only its likelihood is asked for.
  const most = targetStartId(model) === undefined ? maxPositions + 1 : maxPositions;
  const { ids, tokens } = encodePair(tokenizer, pair, { model, file, most });
  if (targetStartId(model) !== undefined) {
    return { window: wholeWindow(model, new AnsweredIds(ids, ids.length - tokens)), tokens };
  }
  const input = ids.slice(0, -1);
  const targets = Int32Array.from(input, (_, i) =>
    i + 1 < ids.length - tokens ? -1 : (ids[i + 1] ?? -1),
  );
  return { window: { input, targets }, tokens };
}

function judgeChoices(
  task: string,
  examples: readonly ChoicesExample[],
  sums: readonly WindowSums[],
): TaskAnswers {
  const right: boolean[] = [];
  const rightNormed: boolean[] = [];
  const logLikelihoods: number[][] = [];
  let at = 0;
  for (const { pairs, answer } of examples) {
    const likelihoods = pairs.map((_, i) => -(sums[at + i]?.[0] ?? Number.NaN));
    logLikelihoods.push(likelihoods);
    right.push(argmax(likelihoods) === answer);
    const normed = likelihoods.map((sum, i) => sum / (pairs[i]?.length ?? Number.NaN));
    rightNormed.push(argmax(normed) === answer);
    at += pairs.length;
  }
  const isNormed = examples.every(({ pairs }) => pairs.every(({ length }) => length !== undefined));
  const { acc: accNorm, accError: accNormError } = accuracy(rightNormed);
  return {
    right,
    logLikelihoods,
    result: {
      task,
      kind: 'multiple-choice',
      examples: examples.length,
      ...accuracy(right),
      ...(isNormed ? { accNorm, accNormError } : {}),
    },
  };
}

function judgeLastWords(
  task: string,
  continuations: readonly Continuation[],
  sums: readonly WindowSums[],
): TaskAnswers {
  const { length } = sums;
  const right = sums.map(([, best], i) => best === continuations[i]?.tokens);
  const logLikelihoods = sums.map(([sum = Number.NaN]) => [-sum]);
  const loss = sums.reduce((total, [sum = Number.NaN]) => total + sum, 0);
  return {
    right,
    logLikelihoods,
    result: {
      task,
      kind: 'last-word',
      examples: length,
      ...accuracy(right),
      perplexity: Math.exp(loss / length),
    },
  };
}

/** Index of the largest value; the first one if several are equal. */
function argmax(values: readonly number[]): number {
  return values.indexOf(Math.max(...values));
}

function standardError(right: number, examples: number): number {
  const mean = right / examples;
  return examples > 1 ? Math.sqrt((mean * (1 - mean)) / (examples - 1)) : Number.NaN;
}
