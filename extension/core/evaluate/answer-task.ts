import * as v from 'valibot';
import { loadTokenizer } from '../data/tokenizer';
import type { Task } from '../data/tasks/task-file';
import type { JobContext } from '../jobs/job';
import type { SavedParts } from '../jobs/saved-parts';
import type { LayeredModel } from '../models/layered-model';
import type { LayeredExecutor } from '../runtime/layered-executor';
import { windowSumsSchema } from '../runtime/windows';
import { matchAnswers } from './exact-match';
import { fingerprintHeldOut } from './held-out';
import { encodeTask, evaluateTask } from './task-accuracy';
import type { Continuation, LikelihoodTask, TaskAnswers } from './task-accuracy';

/** Model that answers, and the store for its answers. */
export interface Answering {
  /** Without these sublayers and experts. */
  readonly removed: ReadonlySet<number>;
  readonly saved: SavedParts;
  readonly name: string;
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
