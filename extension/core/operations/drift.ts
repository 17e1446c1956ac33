import { join } from 'node:path';
import * as v from 'valibot';
import { measureDrift, placesIn } from '../evaluate/drift';
import type { Drift, DriftRequest } from '../evaluate/drift';
import { applyRequestedChanges } from '../evaluate/evaluate-models';
import { resolvePatches } from '../pipelines/patching/planned-patches';
import { withPrunedWidths } from '../pipelines/apply-plan';
import { planToRun } from './evaluate';
import { path } from './fields';
import { heldOutText } from './requirement-fields';
import { defineOperation } from './operation';
import type { OperationContext } from './operation';
import { planField, readPlan } from './read-plan';
import { anyOf, oneOf } from './rules';
import { optionalModelField, runFields, runOptions, sampleText } from './shared-fields';
import { runWork } from './work';
import { say } from '../message';
import { formatPercent } from '../format';

/** Number of tokens that both models run. */
const comparedTokens = 512;

export const drift = defineOperation({
  id: 'drift',
  title: 'Show Drift',
  verb: 'Measuring drift of',
  summary: 'Show where a changed model drifts from its original, sublayer by sublayer.',
  group: 'measure',
  fields: {
    model: optionalModelField,
    plan: {
      ...planField,
      description: 'Measure the model with the changes of a plan (*.plan.json)',
    },
    against: path({
      description: 'Original that the model was made from',
      placeholder: 'MODEL2',
    }),
    text: path({
      description: 'Text to measure on (512 tokens) (.txt, .md, .jsonl)',
      fallback: sampleText,
      setting: 'evaluation.file',
    }),
    examples: path({ description: "Examples for models that don't read text" }),
    ...runFields,
  },
  rules: [anyOf('model', 'plan'), ...oneOf('plan', 'against')],
  result: v.looseObject({
    positions: v.number(),
    limit: v.number(),
    starts: v.optional(v.string()),
    startsAt: v.optional(
      v.array(
        v.looseObject({
          window: v.number(),
          position: v.number(),
          token: v.optional(v.string()),
          relativeError: v.number(),
        }),
      ),
    ),
    sublayers: v.array(
      v.looseObject({
        sublayer: v.string(),
        removed: v.boolean(),
        relativeError: v.number(),
        cosine: v.number(),
      }),
    ),
  }),
  trust: 'run',
  work: async ({ model, plan, against, examples }, { open }) => {
    const path = plan === undefined ? against : (await readPlan(plan, model)).model;
    if (path === undefined || examples !== undefined) {
      return undefined;
    }
    const original = await open(path);
    const changed = plan === undefined && model !== undefined ? await open(model) : original;
    const count = original.summary.sublayers.length + changed.summary.sublayers.length;
    const runs = { sublayerTokens: comparedTokens * count, readoutTokens: 0, passes: () => 2 };
    return runWork(original, runs, plan === undefined);
  },
  run: async (request, context): Promise<Drift> => {
    const { text, examples } = request;
    return withModels(request, context, async (models) =>
      measureDrift(
        {
          ...models,
          text: text ?? join(context.environment.samples, heldOutText),
          ...(examples === undefined ? {} : { examples }),
          ...runOptions(request),
        },
        context,
      ),
    );
  },
  presentation: {
    panel: 'heatmap',
    jobName: say`Comparing hidden states`,
    updates: (drift, { plan, against }) => [{ kind: 'drift', drift, plan, against }],
    outcome: ({ starts, limit, sublayers }, { request }) => {
      const share = formatPercent(limit);
      const place = sublayers.find(({ sublayer }) => sublayer === starts)?.place;
      return {
        summary:
          starts === undefined
            ? say`Drift stays below ${share}.`
            : request.against === undefined
              ? say`Drift reaches ${share} after ${starts}.`
              : say`Drift reaches ${share} after ${place ?? say`${starts} of the original`}.`,
        shown: true,
      };
    },
  },
});

/** Runs a function with the original and the changed model, which a plan describes or an earlier run wrote. */
async function withModels(
  {
    model = '',
    plan,
    against,
  }: { model?: string; plan?: Parameters<typeof readPlan>[0]; against?: string },
  { environment: { open } }: OperationContext<unknown>,
  use: (models: Pick<DriftRequest, 'original' | 'changed'>) => Promise<Drift>,
): Promise<Drift> {
  if (plan === undefined) {
    const [changed, original] = [await open(model), await open(against ?? '')];
    const places = await placesIn(changed, original);
    return use({ original, changed: { model: changed.model, removed: new Set(), places } });
  }
  const planned = await planToRun(await readPlan(plan, model === '' ? undefined : model), open);
  const original = await open(planned.model);
  return withPrunedWidths(original, planned.plan, undefined, async (widthPruned) => {
    const changed = await applyRequestedChanges({
      model: widthPruned,
      removed: planned.plan.remove,
      patch: resolvePatches(planned.plan, join(planned.folder, 'plan')),
    });
    const places = original.summary.sublayers.map((_, index) => index);
    return use({ original, changed: { ...changed, places } });
  });
}
