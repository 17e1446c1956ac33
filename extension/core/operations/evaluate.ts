import { join } from 'node:path';
import * as v from 'valibot';
import { evaluateModels, judgeModels } from '../evaluate/evaluate-models';
import type { EvaluationResult } from '../evaluate/evaluation';
import { defaultWindowLength } from '../evaluate/perplexity';
import type { TaskResult } from '../evaluate/task-accuracy';
import { patchesOfPlan } from '../pipelines/patching/planned-patches';
import { requireMadeFor } from '../plans/plan-schema';
import type { OpenModel } from '../models/model-cache';
import { UserError } from '../user-error';
import { integer, path } from './fields';
import { defineOperation } from './operation';
import { planField, readPlan } from './read-plan';
import type { NamedPlan } from './read-plan';
import { anyOf, replaces } from './rules';
import { optionalModelField, runFields, runOptions } from './shared-fields';
import { roughTokens, wholeModel } from './text-work';
import { runsOf } from './work';

/** Of the samples: what is read where no text is named. */
const heldOutText = 'held-out.txt';

/** Task scores of one model, or of two. */
export type TaskEvaluation = TaskResult & { readonly against?: TaskResult };

const measured = v.looseObject({
  perplexity: v.optional(v.number()),
  tokens: v.optional(v.number()),
  tokensPerSecond: v.optional(v.number()),
});

export const evaluate = defineOperation({
  id: 'evaluate',
  title: 'Evaluate Model',
  verb: 'Evaluating',
  summary: 'Measure perplexity and speed on held-out text, or the accuracy on a task.',
  fields: {
    model: optionalModelField,
    plan: { ...planField, description: 'Evaluate what a plan leaves of the model (*.plan.json)' },
    against: path({ description: 'A second model to compare with', placeholder: 'MODEL2' }),
    text: path({
      description: 'Held-out text (.txt, .md, .jsonl)',
      fallback: 'the text that comes with Espalier',
      setting: 'evaluation.file',
    }),
    length: integer({
      description: 'Length of a window, at most what the model can read',
      fallback: String(defaultWindowLength),
      placeholder: 'L',
      unit: 'tokens',
      min: 2,
    }),
    stride: integer({
      description: 'Tokens that each window predicts anew',
      fallback: 'the length: windows do not overlap',
      unit: 'tokens',
      min: 1,
    }),
    task: path({ description: 'Measure the accuracy on a task (.jsonl) instead of perplexity' }),
    ...runFields,
  },
  rules: [
    anyOf('model', 'plan'),
    replaces('task', ['text', 'length', 'stride'], 'a task has texts of its own'),
  ],
  result: v.looseObject({ ...measured.entries, against: v.optional(measured) }),
  trust: 'run',
  // Counted: every token in as many windows as hold it, for each model, the second as large as the first.
  work: async (request, { open, samples }) => {
    const { task, plan, length = defaultWindowLength, stride = length, against } = request;
    const tokens = roughTokens(request.text ?? join(samples, heldOutText));
    if (task !== undefined || tokens === undefined) {
      return undefined;
    }
    const models = against === undefined ? 1 : 2;
    const path = plan === undefined ? request.model : (await readPlan(plan, request.model)).model;
    const model = await open(path ?? '');
    const runs = wholeModel((tokens * models * length) / stride, model.summary);
    return runsOf(model, runs, models, length, stride);
  },
  run: async (request, context): Promise<EvaluationResult | TaskEvaluation> => {
    const { open } = context.environment;
    const { plan, task, against, length, stride, model = '' } = request;
    const planned =
      plan === undefined ? undefined : await planOf(await readPlan(plan, request.model), open);
    const models = {
      model: await open(planned?.model ?? model),
      removed: planned?.plan.remove ?? [],
      patch: planned === undefined ? [] : patchesOfPlan(planned.plan, join(planned.folder, 'plan')),
      ...(against === undefined ? {} : { against: await open(against) }),
      ...runOptions(request),
    };
    if (task !== undefined) {
      return judgeModels({ ...models, task }, context);
    }
    return evaluateModels(
      {
        ...models,
        text: request.text ?? join(context.environment.samples, heldOutText),
        ...(length === undefined ? {} : { length }),
        ...(stride === undefined ? {} : { stride }),
      },
      context,
    );
  },
});

/** @throws UserError for a plan of another model, and for one that compresses. */
async function planOf(planned: NamedPlan, open: OpenModel): Promise<NamedPlan> {
  const place = planned.file === undefined ? {} : { file: planned.file };
  requireMadeFor(planned.plan, (await open(planned.model)).summary, {
    ...place,
    remedy: 'Profile this model again, or delete the field to evaluate the plan all the same.',
  });
  if ((planned.plan.compress ?? []).length > 0) {
    throw new UserError('A plan that compresses can only be evaluated once it is written.', {
      ...place,
      field: 'compress',
      remedy: 'Write the model with `espalier compress --plan`, then evaluate that.',
    });
  }
  return planned;
}
