import { join } from 'node:path';
import * as v from 'valibot';
import { evaluateModels, judgeModels } from '../evaluate/evaluate-models';
import { asksFor, gateContext, gateForm, judge, outcomes } from '../evaluate/gate';
import type { Verdict } from '../evaluate/gate';
import type { Quality } from '../evaluate/measure-quality';
import { shareOf } from '../evaluate/paired';
import { memoryAt } from '../models/model-summary';
import type { OpenedModel } from '../models/opened-model';
import type { PlanApplication } from '../pipelines/apply-plan';
import { UserError } from '../user-error';
import { group, list, path } from './fields';
import type { RequestOf } from './fields';
import type { OperationContext } from './operation';
import { allNeed } from './rules';
import { say } from '../message';

/** Of the samples: what is read where no text is named. */
export const heldOutText = 'held-out.txt';

export const gateField = list({
  description:
    'Limits that the result must keep to, such as perplexity<+10%, task>-2pt, agreement>90%, size<-20%; exit code 1 if it does not',
  form: gateForm,
  placeholder: 'LIMIT,…',
  setting: 'gate',
});

/** Of operations that write a changed model. */
export const gateFields = group('Verdict', {
  gate: gateField,
  heldOut: path({
    description: 'Held-out text for the limit of perplexity (.txt, .md, .jsonl)',
    fallback: 'the text that comes with Espalier',
    setting: 'evaluation.file',
  }),
  task: path({ description: 'Task for the limit of its accuracy (.jsonl)' }),
});

export const gateRules = [allNeed(['heldOut', 'task'], 'gate')];

export const verdictSchema = v.looseObject({
  outcome: v.picklist(outcomes),
  conditions: v.array(v.looseObject({ condition: v.string(), outcome: v.picklist(outcomes) })),
});

/** The limits of a request, and what they are measured on. */
export type Gate = RequestOf<typeof gateFields>;

/** Only what the gate asks for of a request. */
export function gateOf({ gate, heldOut, task }: Gate): Gate {
  return {
    ...(gate === undefined ? {} : { gate }),
    ...(heldOut === undefined ? {} : { heldOut }),
    ...(task === undefined ? {} : { task }),
  };
}

/**
 * Measures what limits ask for, and judges. What cannot be measured is warned of, and leaves the verdict open.
 * @throws UserError before anything runs, where a limit and the task do not fit.
 */
export async function judgeChanged(
  { gate = [], heldOut, task }: Gate,
  { original, changed, quality }: JudgedModels,
  run: Pick<PlanApplication, 'device' | 'memoryBytes'>,
  context: OperationContext<unknown>,
): Promise<Verdict> {
  const models = { model: changed, removed: [], against: original, ...run };
  const quiet = { ...context, emit: () => undefined };
  const attempt = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      if (error instanceof UserError) {
        context.warn(say`The verdict is open: ${error.problem}`);
        return undefined;
      }
      throw error;
    }
  };
  const text = heldOut ?? join(context.environment.samples, heldOutText);
  const evaluated = asksFor(gate, 'perplexity')
    ? await attempt(async () => evaluateModels({ ...models, text }, quiet))
    : undefined;
  const judged =
    task === undefined
      ? undefined
      : await attempt(async () => judgeModels({ ...models, task }, quiet));
  const { top1Agreement, positions = 0 } = quality ?? {};
  const [before, after] = [original.summary, changed.summary];
  return judge(gate, {
    ...(evaluated?.perplexityRatio === undefined
      ? {}
      : { perplexityRatio: evaluated.perplexityRatio }),
    ...(judged?.compared === undefined ? {} : { task: judged.compared }),
    ...(top1Agreement === undefined ? {} : { agreement: shareOf(top1Agreement, positions) }),
    size: after.bytes / before.bytes,
    memory: memoryAt(after, gateContext) / memoryAt(before, gateContext),
    parameters: after.parameters / before.parameters,
  });
}

interface JudgedModels {
  readonly original: OpenedModel;
  readonly changed: OpenedModel;
  readonly quality?: Quality;
}

/** @throws UserError where a task is named that no limit is for, or the other way round. */
export function requireTask({ gate = [], task }: Gate): void {
  if (asksFor(gate, 'task') !== (task !== undefined)) {
    throw new UserError(
      task === undefined
        ? say`A limit of the task needs a task.`
        : say`The task has no effect: no limit is for it.`,
      { field: task === undefined ? 'gate' : 'task' },
    );
  }
}
