import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { readTask } from '../data/tasks/task-file';
import type { ShotsRequest, Task } from '../data/tasks/task-file';
import type { JobContext, StageProgress } from '../jobs/job';
import { Journal } from '../jobs/journal';
import { nothingSaved } from '../jobs/saved-parts';
import { requireAble } from '../models/capability';
import type { LayeredModel } from '../models/layered-model';
import type { DeviceName } from '../runtime/device';
import { LayeredExecutor } from '../runtime/layered-executor';
import { withMeasurer } from '../tensornet/budget/plan-for-budget';
import type { MeasurerRequest } from '../tensornet/budget/plan-for-budget';
import type { MeasuredPlan } from '../tensornet/budget/plan-measurer';
import { say } from '../message';
import { answerTask } from './answer-task';
import { compareAnswers } from './paired';
import type { AnswersCompared } from './paired';
import type { TaskAnswers, TaskResult } from './task-accuracy';
import { digestFile } from '../regular-file';

/** Task, and the model of the plans. */
export interface ScoreRequest extends MeasurerRequest, ShotsRequest {
  /** A JSONL file of examples. */
  readonly task: string;
  /** Journal of the answers, deleted after all plans are scored. */
  readonly journal: string;
  /** Version of Espalier. */
  readonly version: string;
}

/** Score of a plan's model, and an example-by-example comparison with the original. */
export type PlanScore = TaskResult & { readonly compared: AnswersCompared };

export interface PlanScores {
  readonly original: TaskResult;
  /** In the order of the plans. */
  readonly scores: readonly PlanScore[];
}

/** Answers of a model, by the digest of its changes. */
interface Answered {
  readonly plan: string;
  readonly right: readonly boolean[];
  readonly result: TaskResult;
}

const original: MeasuredPlan = { compress: [], remove: [], widths: [] };

const record = v.object({
  plan: v.string(),
  right: v.array(v.boolean()),
  result: v.looseObject({ acc: v.number(), accError: v.number(), examples: v.number() }),
});

/**
 * Runs the original and the model of every plan on a task. Writes only temporary encodings and a journal of the
 * answers, from which the same request resumes.
 * @throws UserError if the task cannot be read, or the model predicts no next tokens.
 */
export async function scorePlans(
  plans: readonly MeasuredPlan[],
  request: ScoreRequest,
  context: JobContext,
): Promise<PlanScores> {
  const { model: opened, memoryBytes } = request;
  requireAble(opened.capabilities.evaluate, opened.path);
  requireAble(opened.capabilities.readText, opened.path);
  const task = await readTask(request.task, request);
  const all = [original, ...plans];
  const journal = await Journal.open(
    request.journal,
    await scoreIdentity(request),
    (value): Answered | undefined =>
      v.is(record, value) ? (value as unknown as Answered) : undefined,
  );
  const known = new Map(journal.replayed.map((one) => [one.plan, one]));
  const answer = async (
    model: LayeredModel,
    plan: MeasuredPlan,
    device: DeviceName,
    done: number,
  ) =>
    readAnswers(model, plan, { device, memoryBytes, task }, countedFrom(done, all.length, context));
  const answers = await withMeasurer(request, context, async (measurer, device) => {
    const found: Answered[] = [];
    for (const [done, plan] of all.entries()) {
      const { compress, remove, widths } = plan;
      const key = digest(JSON.stringify({ compress, remove, widths }));
      let answered = known.get(key);
      if (answered === undefined) {
        const { right, result } = await answer(await measurer.modelOf(plan), plan, device, done);
        answered = { plan: key, right, result };
        known.set(key, answered);
        await journal.append([answered]);
      }
      found.push(answered);
    }
    return found;
  });
  await journal.remove();
  const [first, ...others] = answers;
  if (first === undefined) {
    throw new RangeError('the original is always answered');
  }
  return {
    original: first.result,
    scores: others.map(({ right, result }) => ({
      ...result,
      compared: compareAnswers(first.right, right),
    })),
  };
}

/**
 * Facts besides the plan on which the answers depend. The device is excluded, because a resumed job
 * may use another one.
 */
async function scoreIdentity({
  model,
  table,
  task,
  shots,
  shotsFrom,
  version,
}: ScoreRequest): Promise<string> {
  const files = shotsFrom === undefined ? [task] : [task, shotsFrom];
  const texts = await Promise.all(files.map(async (file) => digestFile(file)));
  const { fingerprint } = model.summary;
  // By the table, with its calibration and methods, it is chosen what forms are fitted to.
  const fitted = digest(JSON.stringify(table));
  return JSON.stringify({ fingerprint, fitted, shots, texts, version });
}

const digest = (content: string | Buffer): string =>
  createHash('sha256').update(content).digest('hex');

async function readAnswers(
  model: LayeredModel,
  { remove }: MeasuredPlan,
  { device, memoryBytes, task }: { device: DeviceName; memoryBytes: number; task: Task },
  context: JobContext,
): Promise<TaskAnswers> {
  const executor = new LayeredExecutor(model, device, memoryBytes);
  try {
    const removed = new Set(remove.flatMap((id) => executor.units.numberOf(id) ?? []));
    // Saved plan by plan.
    const answering = { removed, saved: nothingSaved, name: 'answers' };
    return await answerTask(executor, task, memoryBytes, answering, context);
  } finally {
    await executor.dispose();
  }
}

/** Reports the progress of one model as a share of the total: all take about equally long. */
function countedFrom(before: number, models: number, context: JobContext): JobContext {
  return {
    ...context,
    ...(before === 0 ? {} : { warn: () => undefined }),
    progress: ({ done, total }: StageProgress) => {
      context.progress({
        stage: say`Measuring task scores`,
        done: before + done / Math.max(1, total),
        total: models,
        unit: 'steps',
      });
    },
  };
}
