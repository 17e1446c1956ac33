import { loadTokenizer } from '../data/tokenizer';
import type { Task } from '../data/tasks/task-file';
import type { JobContext } from '../jobs/job';
import type { LayeredModel } from '../models/layered-model';
import type { LayeredExecutor } from '../runtime/layered-executor';
import { matchAnswers } from './exact-match';
import { encodeTask, evaluateTask } from './task-accuracy';
import type { Continuation, LikelihoodTask, TaskAnswers } from './task-accuracy';

/** What the model of an executor answers to a task, without some of its sublayers and experts. */
export async function answerTask(
  executor: LayeredExecutor,
  removed: ReadonlySet<number>,
  task: Task,
  memoryBytes: number,
  context: Pick<JobContext, 'cancellation' | 'progress' | 'warn'>,
): Promise<TaskAnswers> {
  const { model, device, units } = executor;
  if (task.kind !== 'exact-match') {
    return evaluateTask(executor, task, await continuationsOf(model, task), removed, context);
  }
  const tokenizer = await loadTokenizer(model.summary.path);
  const options = { device, memoryBytes, removed: Array.from(removed, (unit) => units.idOf(unit)) };
  return matchAnswers(model, tokenizer, task, options, context);
}

/**
 * Lets go of the tokenizer before the model runs: one of 262 144 tokens takes 140 MB in many small pieces, and each
 * collection of garbage looks at all of them.
 */
const continuationsOf = async (
  model: LayeredModel,
  task: LikelihoodTask,
): Promise<Continuation[]> => encodeTask(model, await loadTokenizer(model.summary.path), task);
