import type { Tokenizer } from '../data/tokenizer';
import { checkVocabulary } from '../data/vocabulary';
import type { JobContext } from '../jobs/job';
import type { LayeredExecutor } from '../runtime/layered-executor';
import { isBest, negativeLogLikelihood, requireNextTokens } from '../runtime/next-token';
import type { TextWindow, WindowSums } from '../runtime/windows';
import { windowSums } from '../runtime/windows';
import { UserError } from '../user-error';
import type { ChoicesExample, LastWordExample, Task } from './task-file';
import { counted, say } from '../message';
import type { Message } from '../message';

/** What a model scores on a task. */
export interface TaskResult {
  readonly task: string;
  readonly kind: Task['kind'];
  readonly examples: number;
  /** Share of the examples where the right choice is the likeliest, or every token of the last word is. */
  readonly acc: number;
  /** Multiple choice: the same with log-likelihoods divided by the choices' lengths in characters. */
  readonly accNorm?: number;
  /** Standard errors of both, √(a(1 − a)/(n − 1)). */
  readonly accError: number;
  readonly accNormError?: number;
  /** Last word: exp(mean negative log-likelihood of a word). */
  readonly perplexity?: number;
}

/** A continuation whose likelihood is asked for. */
interface Continuation {
  readonly window: TextWindow;
  readonly tokens: number;
}

const defaultDelimiter = ' ';

/**
 * Scores a task as EleutherAI's lm-evaluation-harness does: log p(continuation | context), no
 * special tokens added, texts that are too long cut at their beginning; `acc`, `acc_norm` of
 * `multiple_choice`, and the greedy `acc` and perplexity of LAMBADA. `right`: of each example, what `acc` counts.
 */
export async function evaluateTask(
  executor: LayeredExecutor,
  tokenizer: Tokenizer,
  task: Task,
  removed: ReadonlySet<number>,
  watcher: Pick<JobContext, 'cancellation' | 'progress'>,
): Promise<TaskResult & { readonly right: readonly boolean[] }> {
  requireNextTokens(executor.model);
  const { maxPositions = Number.POSITIVE_INFINITY } = executor.model.summary;
  const continuation = (context: string, text: string): Continuation =>
    continuationOf(executor, tokenizer, context, text, maxPositions, task.file);
  const continuations =
    task.kind === 'multiple-choice'
      ? task.examples.flatMap(({ context, choices, delimiter = defaultDelimiter }) =>
          choices.map((choice) => continuation(context, `${delimiter}${choice}`)),
        )
      : task.examples.map((example) => continuation(...splitLastWord(example)));
  const sums = await inAnyOrder(
    executor,
    continuations,
    removed,
    say`Evaluating ${task.name}`,
    watcher,
  );
  return task.kind === 'multiple-choice'
    ? judgeChoices(task.name, task.examples, sums)
    : judgeLastWords(task.name, continuations, sums);
}

/** Runs windows of equal length together. */
async function inAnyOrder(
  executor: LayeredExecutor,
  continuations: readonly Continuation[],
  removed: ReadonlySet<number>,
  stage: Message,
  watcher: Pick<JobContext, 'cancellation' | 'progress'>,
): Promise<WindowSums[]> {
  const order = continuations
    .map((_, i) => i)
    .sort(
      (a, b) =>
        (continuations[a]?.window.input.length ?? 0) - (continuations[b]?.window.input.length ?? 0),
    );
  const found = await windowSums(
    executor,
    order.flatMap((i) => continuations[i]?.window ?? []),
    { terms: [negativeLogLikelihood, isBest], removed, stage },
    watcher,
  );
  const sums = new Array<WindowSums>(order.length);
  order.forEach((i, place) => {
    sums[i] = found[place] ?? [];
  });
  return sums;
}

/** `_encode_pair`: blanks at the context's end belong to the continuation. */
function continuationOf(
  executor: LayeredExecutor,
  tokenizer: Tokenizer,
  context: string,
  continuation: string,
  maxPositions: number,
  file: string,
): Continuation {
  const before = context.trimEnd();
  const blanks = context.slice(before.length);
  const all = tokenizer.encodePlain(context + continuation);
  const prefix = before === '' ? tokenizer.prefixToken : undefined;
  const known = before === '' ? 0 : tokenizer.encodePlain(before).length;
  const ids = prefix === undefined ? all : Int32Array.of(prefix, ...all);
  const tokens = all.length - known;
  checkVocabulary(ids, executor.model, tokenizer.file);
  if (tokens < 1 || tokens >= ids.length || tokens > maxPositions) {
    throw new UserError(
      tokens > maxPositions
        ? say`The continuation has ${counted(tokens, 'token')}, more than the model reads.`
        : say`The continuation has no token of its own after the context.`,
      {
        file,
        field: JSON.stringify(`${blanks}${continuation}`.slice(0, 40)),
        remedy: say`Give a context and a continuation that are not empty.`,
      },
    );
  }
  const kept = ids.slice(-(maxPositions + 1));
  const input = kept.slice(0, -1);
  const targets = Int32Array.from(input, (_, i) =>
    i + 1 < kept.length - tokens ? -1 : (kept[i + 1] ?? -1),
  );
  return { window: { input, targets }, tokens };
}

/** Everything in front of the last word, and that word with its blank. */
function splitLastWord({ text }: LastWordExample): [string, string] {
  const whole = text.trimEnd();
  const start = whole.search(/\s+\S+$/u);
  return [whole.slice(0, start), whole.slice(start)];
}

function judgeChoices(
  task: string,
  examples: readonly ChoicesExample[],
  sums: readonly WindowSums[],
): TaskResult & { readonly right: readonly boolean[] } {
  const right: boolean[] = [];
  let rightNormed = 0;
  let at = 0;
  for (const { choices, answer } of examples) {
    const likelihoods = choices.map((_, i) => -(sums[at + i]?.[0] ?? Number.NaN));
    const normed = likelihoods.map((sum, i) => sum / Array.from(choices[i] ?? '').length);
    right.push(argmax(likelihoods) === answer);
    rightNormed += argmax(normed) === answer ? 1 : 0;
    at += choices.length;
  }
  const { length } = examples;
  return {
    right,
    task,
    kind: 'multiple-choice',
    examples: length,
    acc: countOf(right) / length,
    accNorm: rightNormed / length,
    accError: standardError(countOf(right), length),
    accNormError: standardError(rightNormed, length),
  };
}

function judgeLastWords(
  task: string,
  continuations: readonly Continuation[],
  sums: readonly WindowSums[],
): TaskResult & { readonly right: readonly boolean[] } {
  const { length } = sums;
  const right = sums.map(([, best], i) => best === continuations[i]?.tokens);
  const loss = sums.reduce((total, [sum = Number.NaN]) => total + sum, 0);
  return {
    right,
    task,
    kind: 'last-word',
    examples: length,
    acc: countOf(right) / length,
    accError: standardError(countOf(right), length),
    perplexity: Math.exp(loss / length),
  };
}

const countOf = (right: readonly boolean[]): number => right.filter(Boolean).length;

/** The first of the largest. */
function argmax(values: readonly number[]): number {
  return values.indexOf(Math.max(...values));
}

function standardError(right: number, examples: number): number {
  const mean = right / examples;
  return examples > 1 ? Math.sqrt((mean * (1 - mean)) / (examples - 1)) : Number.NaN;
}
