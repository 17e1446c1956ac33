import { join, resolve, basename } from 'node:path';
import * as v from 'valibot';
import { describeVerification } from '../export/verification';
import { patchModel } from '../pipelines/patching/patch-model';
import type { PatchResult } from '../pipelines/patching/patch-model';
import { workFolder } from '../jobs/work-folder';
import { readLibrary } from '../symbolic/language/library-file';
import { defaultFitting } from '../symbolic/patch/fit-branch';
import { defaultPatchLimits, patchLibrary } from '../symbolic/patch/compete';
import { appliedSchema } from './apply';
import { addQuality, selectJudging, qualityFields, qualityRules } from './apply-plan';
import type { ApplyResult } from './apply-plan';
import { document, flag, group, integer, number, path, text } from './fields';
import { selectRequirements, keepsLimits } from './requirement-fields';
import { requireMeasurable } from './judge-changed';
import { learningFields, learningCalibration } from './training-fields';
import { defineOperation } from './operation';
import { calibrationRules, modelField, outputFields, runFields, runOptions } from './shared-fields';
import { patchVerdict } from './patch-verdict';
import { joined, say } from '../message';

const { out, format, overwrite } = outputFields;
const defaultText = { sequences: 128, length: 128 };

export const patch = defineOperation({
  id: 'patch',
  title: 'Patch Layer',
  verb: 'Patching',
  summary: 'Replace a sublayer by a small symbolic module, if that beats simpler replacements.',
  group: 'experimental',
  fields: {
    model: modelField,
    sublayer: text({
      description: 'Sublayer to replace, such as block.3.feedforward',
      placeholder: 'ID',
      required: true,
    }),
    ...{ out, format, overwrite },
    ...group('Output', {
      anyway: flag({
        description: 'Write the model even if something simpler does as well',
        default: false,
      }),
      plan: document('plan', {
        writes: 'plan',
        description: 'Plan to add the patch to, created if missing; weights are written next to it',
        placeholder: 'PLAN',
      }),
    }),
    ...qualityFields,
    ...group('Search', {
      graphs: integer({
        description: 'Graphs to try',
        default: defaultPatchLimits.graphs,
        min: 1,
      }),
      programs: integer({
        description: 'Programs to search',
        default: defaultPatchLimits.programs,
        min: 1,
      }),
      library: path({
        description: 'Library for programs (*.library.json)',
        fallback: 'the one that comes with Espalier',
      }),
    }),
    ...group('Training', {
      epochs: integer({
        description: 'Passes over the inputs of the sublayer',
        default: defaultFitting.epochs,
        min: 1,
      }),
      batch: integer({ description: 'Rows per step', default: defaultFitting.batch, min: 1 }),
      rate: number({
        description: 'Maximum learning rate of Adam',
        default: defaultFitting.rate,
        above: 0,
      }),
      seed: integer({ description: 'Seed of weights, order and controls', default: 0, min: 0 }),
    }),
    ...learningFields(defaultText),
    ...runFields,
  },
  rules: [...calibrationRules, ...qualityRules],
  result: v.looseObject({
    accepted: v.boolean(),
    program: v.string(),
    standings: v.array(v.looseObject({ kind: v.string(), loss: v.number() })),
    written: v.nullable(appliedSchema),
  }),
  trust: 'write',
  passes: ({ written }: PatchResult<ApplyResult>) => written === null || keepsLimits(written),
  requires: () => ({ model: 'patch' }),
  resume: (request) => workFolder(request.out, 'patch'),
  work: async (request, { open }) => {
    const { summary } = await open(request.model);
    const { sublayer, graphs, programs, epochs, batch, library } = request;
    const { sequences, length } = learningCalibration(request, defaultText, summary.maxPositions);
    return {
      kind: [sublayer.split('.').at(-1), summary.hiddenSize, programs, batch, library ?? ''],
      amount: sequences * length * epochs * graphs,
    };
  },
  run: async (request, context): Promise<PatchResult<ApplyResult>> => {
    const { open, samples } = context.environment;
    const { sublayer, graphs, programs, library, epochs, batch, rate, seed } = request;
    const { anyway, plan, calibration } = request;
    const model = await open(request.model);
    const examples = calibration === undefined ? {} : { examples: calibration };
    await requireMeasurable(selectRequirements(request), { original: model, ...examples }, context);
    const result = await patchModel(
      {
        ...{ model, sublayer, seed, anyway },
        text: learningCalibration(request, defaultText, model.summary.maxPositions),
        bundledText: join(samples, 'calibration.txt'),
        library: library === undefined ? patchLibrary() : await readLibrary(resolve(library)),
        limits: { graphs, programs },
        fitting: { epochs, batch, rate },
        ...{ out: request.out, overwrite: request.overwrite },
        ...(request.format === undefined ? {} : { format: request.format }),
        ...(plan === undefined ? {} : { plan }),
        ...runOptions(request),
      },
      context,
    );
    const { written } = result;
    return {
      ...result,
      written:
        written &&
        (await addQuality(
          written,
          { model, ...examples, ...runOptions(request) },
          selectJudging(request),
          context,
        )),
    };
  },
  presentation: {
    panel: 'heatmap',
    jobName: say`Patching`,
    report: 'patched',
    opens: 'writtenModel',
    updates: ({ plan, sublayer }) =>
      plan === undefined ? [] : [{ kind: 'patch', plan, sublayer }],
    outcome: (result) => {
      const { written } = result;
      const verdict = patchVerdict(result);
      return {
        summary:
          written === null
            ? verdict
            : joined([
                say`Wrote ${basename(written.path)}.`,
                describeVerification(written.verification),
                verdict,
              ]),
        writesNothing: written === null,
      };
    },
    nextSteps: () => ['playground', 'reveal', 'showHeatmap', 'evaluateBoth'],
  },
});
