import * as v from 'valibot';
import { loadTokenizer } from '../data/tokenizer';
import type { Task } from '../data/tasks/task-file';
import type { JobContext } from '../jobs/job';
import type { SavedParts, SavedPart } from '../jobs/saved-parts';
import type { LayeredModel } from '../models/layered-model';
import type { LayeredExecutor } from '../runtime/layered-executor';
import { windowSumsSchema } from '../runtime/windows';
import { fingerprintHeldOut } from './held-out';
import { encodeTask, evaluateTask, accuracy } from './task-accuracy';
import type { Continuation, LikelihoodTask, TaskAnswers } from './task-accuracy';
import type { Tokenizer } from '../data/tokenizer';
import { checkVocabulary } from '../data/text-tokens';
import { continuation, createTextDecoder, writingRules } from '../generate/continuation';
import type { WritingRules } from '../generate/continuation';
import { openDecoder, warnRereading } from '../generate/open-decoder';
import type { Decoder, DecoderOptions } from '../generate/decoder';
import { greedy, sampleToken } from '../generate/sampling';
import { say } from '../message';
import { UserError } from '../user-error';
import type { ExactMatchExample } from '../data/tasks/task-example';
import { targetStartId } from '../models/example';

/** Model that answers, and the store for its answers. */
export interface Answering {
  /** Without these sublayers and experts. */
  readonly removed: ReadonlySet<number>;
  readonly saved: SavedParts;
  readonly name: string;
}

/** Task with generated answers. */
type ExactMatchTask = Extract<Task, { readonly kind: 'exact-match' }>;

/**
 * Generates answers greedily, like `generate_until` of lm-evaluation-harness, and counts those that equal a target
 * after trimming whitespace. Prompts that leave no room for the answer are truncated at the start.
 */
export async function matchAnswers(
  model: LayeredModel,
  tokenizer: Tokenizer,
  task: ExactMatchTask,
  options: DecoderOptions,
  saved: SavedPart<boolean>,
  { cancellation, progress, warn }: Pick<JobContext, 'cancellation' | 'progress' | 'warn'>,
): Promise<TaskAnswers> {
  const rules = await writingRules(model, tokenizer);
  const decoder = await openDecoder(model, options);
  warnRereading(model.summary.name, decoder, { warn });
  const right = [...saved.values];
  try {
    for (const example of task.examples.slice(right.length)) {
      progress({
        stage: say`Evaluating ${task.name}`,
        done: right.length,
        total: task.examples.length,
        unit: 'examples',
      });
      const prompt = buildPrompt(example, model, tokenizer, task.file);
      const before = targetStartId(model) === undefined ? prompt : new Int32Array();
      const answering = { rules, cancellation, textOf: createTextDecoder(tokenizer, before) };
      const { maxPositions = Number.POSITIVE_INFINITY } = model.summary;
      const tokens = Math.min(example.tokens, maxPositions);
      const answer = await generateAnswer(decoder, prompt, { ...example, tokens }, answering);
      const isRight = example.targets.some((target) => target.trim() === answer.trim());
      right.push(isRight);
      await saved.add([isRight]);
      decoder.rewind(0);
    }
  } finally {
    await decoder.dispose();
  }
  return {
    right,
    logLikelihoods: [],
    result: {
      task: task.name,
      kind: task.kind,
      examples: right.length,
      ...accuracy(right),
    },
  };
}

function buildPrompt(
  { prompt, tokens }: ExactMatchExample,
  model: LayeredModel,
  tokenizer: Tokenizer,
  file: string,
): Int32Array {
  const { name, maxPositions = Number.POSITIVE_INFINITY } = model.summary;
  const ids = tokenizer.encode(prompt);
  const hasSource = targetStartId(model) !== undefined;
  checkVocabulary(ids, model, tokenizer.file);
  if (ids.length === 0 || (!hasSource && tokens >= maxPositions)) {
    throw new UserError(
      ids.length === 0 ? 'prompt-empty' : 'prompt-too-long',
      ids.length === 0
        ? say`The prompt is empty.`
        : say`An answer of ${tokens} tokens leaves only ${name} tokens for the prompt.`,
      {
        file,
        field: JSON.stringify(prompt.slice(0, 40)),
        remedy:
          ids.length === 0
            ? say`Write a prompt.`
            : say`Set tokens in each row: the model reads ${maxPositions} in all.`,
      },
    );
  }
  const left = hasSource ? maxPositions : maxPositions - tokens;
  return ids.slice(-Math.min(left, ids.length));
}

async function generateAnswer(
  decoder: Decoder,
  prompt: Int32Array,
  { stops, tokens }: ExactMatchExample,
  {
    rules,
    textOf,
    cancellation,
  }: Pick<JobContext, 'cancellation'> & {
    readonly rules: WritingRules;
    readonly textOf: (ids: readonly number[]) => string;
  },
): Promise<string> {
  const generated: number[] = [];
  const choose = (logits: Float32Array): number => sampleToken(logits, greedy, () => 0);
  for await (const { id } of continuation(decoder, prompt, { ...rules, choose, cancellation })) {
    generated.push(id);
    const text = textOf(generated);
    const end = Math.min(...stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0));
    if (Number.isFinite(end)) {
      return text.slice(0, end);
    }
    if (generated.length === tokens) {
      break;
    }
  }
  return textOf(generated);
}

/** Answers of an executor's model to a task. */
export async function answerTask(
  executor: LayeredExecutor,
  task: Task,
  memoryBytes: number,
  { removed, saved, name }: Answering,
  context: Pick<JobContext, 'cancellation' | 'progress' | 'warn'>,
): Promise<TaskAnswers> {
  const { model, device, units } = executor;
  // By the ids that are read: a tokenizer may have been changed since.
  if (task.kind !== 'exact-match') {
    const continuations = await scoreContinuations(model, task);
    const read = fingerprintHeldOut(continuations.map(({ window }) => window.input));
    const sums = saved.part(`${name} ${read}`, windowSumsSchema);
    return evaluateTask(executor, task, continuations, removed, sums, context);
  }
  const tokenizer = await loadTokenizer(model.summary.path);
  const options = { device, memoryBytes, removed: Array.from(removed, (unit) => units.idOf(unit)) };
  const read = fingerprintHeldOut(task.examples.map(({ prompt }) => tokenizer.encode(prompt)));
  const answers = saved.part(`${name} ${read}`, v.boolean());
  return matchAnswers(model, tokenizer, task, options, answers, context);
}

/**
 * Lets go of the tokenizer before the model runs: one of 262 144 tokens takes 140 MB in many small pieces, and each
 * collection of garbage looks at all of them.
 */
const scoreContinuations = async (
  model: LayeredModel,
  task: LikelihoodTask,
): Promise<Continuation[]> => encodeTask(model, await loadTokenizer(model.summary.path), task);
