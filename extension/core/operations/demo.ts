import { cp, mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import * as v from 'valibot';
import { defaultDocumentPath } from '../document-names';
import { evaluateModels } from '../evaluate/evaluate-models';
import type { EvaluationResult } from '../evaluate/evaluation';
import { exists } from '../jobs/partial';
import { replaceFile } from '../jobs/write-document';
import type { LayerProfile, ProfileEvent } from '../prune/layer-profile';
import { apply, appliedSchema } from './apply';
import type { ApplyResult } from './apply-plan';
import { buildRequest } from './build-request';
import { planFirstRounds } from './choose-removal';
import { evaluate } from './evaluate';
import { path } from './fields';
import { heldOutText } from './requirement-fields';
import { defineOperation } from './operation';
import type { OperationContext } from './operation';
import { writePlan } from './output-file';
import { profile } from './profile';
import { runFields, runOptions } from './shared-fields';

/** Results of profiling, pruning and evaluating the sample model. */
export interface DemoResult {
  readonly profile: LayerProfile;
  readonly applied: ApplyResult;
  readonly evaluation: EvaluationResult;
}

const sampleName = 'espalier-sample';

export const demo = defineOperation({
  id: 'demo',
  title: 'Run Demo',
  verb: 'Running',
  summary: 'Profile and prune the bundled sample model, and measure the loss.',
  group: 'start',
  fields: {
    out: path({
      description: 'Folder for the copied model and all results',
      placeholder: 'DIR',
      default: 'espalier-demo',
    }),
    ...runFields,
  },
  rules: [],
  result: v.looseObject({
    profile: profile.result,
    applied: appliedSchema,
    evaluation: evaluate.result,
  }),
  trust: 'write',
  writesNextTo: ['layerProfile', 'plan'],
  run: async (request, context: OperationContext<ProfileEvent>): Promise<DemoResult> => {
    const { device, memory } = request;
    const { open, samples } = context.environment;
    const folder = resolve(request.out);
    const model = join(folder, sampleName);
    await mkdir(folder, { recursive: true });
    if (!(await exists(model))) {
      await replaceFile(model, async (partial) =>
        cp(join(samples, sampleName), partial, { recursive: true }),
      );
    }
    const run = { device, memory };
    const out = defaultDocumentPath('layerProfile', model);
    const measured = await profile.run(buildRequest(profile, { model, out, ...run }), context);
    const plan = { ...planFirstRounds(measured, model), model: { path: sampleName } };
    const file = defaultDocumentPath('plan', model);
    await writePlan(file, plan);
    const pruned = join(folder, `${sampleName}-pruned`);
    const applied = await apply.run(
      buildRequest(apply, { plan: file, out: pruned, overwrite: true, quality: false, ...run }),
      context,
    );
    const evaluation = await evaluateModels(
      {
        model: await open(pruned),
        removed: [],
        against: await open(model),
        text: join(samples, heldOutText),
        ...runOptions(run),
      },
      context,
    );
    return { profile: measured, applied, evaluation };
  },
});
