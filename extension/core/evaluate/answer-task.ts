import { loadTokenizer } from '../data/tokenizer';
import type { Task } from '../data/tasks/task-file';
import type { JobContext } from '../jobs/job';
import type { LayeredExecutor } from '../runtime/layered-executor';
import { matchAnswers } from './exact-match';
import { evaluateTask } from './task-accuracy';
import type { TaskAnswers } from './task-accuracy';

/** What the model of an executor answers to a task, without some of its sublayers and experts. */
export async function answerTask(
  executor: LayeredExecutor,
  removed: ReadonlySet<number>,
  task: Task,
  memoryBytes: number,
  context: Pick<JobContext, 'cancellation' | 'progress' | 'warn'>,
): Promise<TaskAnswers> {
  const { model, device, units } = executor;
  const tokenizer = await loadTokenizer(model.summary.path);
  if (task.kind !== 'exact-match') {
    return evaluateTask(executor, tokenizer, task, removed, context);
  }
  const options = { device, memoryBytes, removed: Array.from(removed, (unit) => units.idOf(unit)) };
  return matchAnswers(model, tokenizer, task, options, context);
}
