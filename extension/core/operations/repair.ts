import { basename, join } from 'node:path';
import * as v from 'valibot';
import { asksFor } from '../evaluate/requirements';
import type { Verdict } from '../evaluate/requirements';
import type { CalibrationRequest } from '../data/calibration';
import type { ModelSummary } from '../models/model-summary';
import { learnedStates, repairModel } from '../pipelines/compression/repair-model';
import type { RepairResult } from '../pipelines/compression/repair-model';
import { workFolder } from '../jobs/work-folder';
import {
  effortNames,
  repairEfforts,
  defaultRepair,
  defaultRepairText,
  repairScopes,
} from '../tensornet/repair/repair-settings';
import type { RepairEffort } from '../tensornet/repair/repair-settings';
import { defaultTrains, trainedLayers } from '../tensornet/repair/trained-forms';
import { choice, group, integer, number, path } from './fields';
import type { RequestOf } from './fields';
import {
  requirementFields,
  selectRequirements,
  requirementRules,
  keepsLimits,
  verdictSchema,
} from './requirement-fields';
import {
  attempt,
  compareWithOriginal,
  judgeChanged,
  predictText,
  requireMeasurable,
} from './judge-changed';
import { learningFields, learningCalibration } from './training-fields';
import { defineOperation } from './operation';
import type { FinishedJob, Outcome } from './presentation';
import { formatPercent } from '../format';
import { say } from '../message';
import { actsOnlyWith, excludes } from './rules';
import { calibrationRules, modelField, outputFields, runFields, runOptions } from './shared-fields';
import type { CalibrationFields } from './shared-fields';
import { createEngine, sharingFields, sharingRules } from './sharing';

const { out, overwrite } = outputFields;

/** Training text of a request; by default with the number of sequences of its effort. */
function repairText(
  request: RequestOf<CalibrationFields> & { readonly effort: RepairEffort },
  { maxPositions }: ModelSummary,
): CalibrationRequest {
  const { sequences } = repairEfforts[request.effort];
  return learningCalibration(request, { ...defaultRepairText, sequences }, maxPositions);
}

/** Result of a repair, and the verdict on the repaired model, or on the unchanged model if nothing improved. */
export type Repaired = RepairResult & { readonly verdict?: Verdict };

export const repair = defineOperation({
  id: 'repair',
  title: 'Repair Model',
  verb: 'Repairing',
  summary:
    'Recover the quality of a compressed or pruned model by distillation, and keep what improves.',
  group: 'measure',
  fields: {
    model: modelField,
    teacher: path({
      description: 'Original that the model was made from',
      placeholder: 'MODEL',
      required: true,
    }),
    ...{ out, overwrite },
    ...group('Training', {
      effort: choice(effortNames, {
        description: `Amount of training: ${effortNames
          .map((name) => `${name} ${repairEfforts[name].sequences} sequences`)
          .join(', ')}; quick trains compressed layers sublayer by sublayer only`,
        default: 'standard',
        placeholder: 'EFFORT',
      }),
      train: choice(trainedLayers, {
        description: 'Linear layers to train',
        fallback: 'compressed if there are any, else all; routers for GGUF files',
        placeholder: 'LAYERS',
      }),
      states: choice(learnedStates, {
        description:
          "Hidden states that each sublayer trains on: the student's, as repaired so far, or the teacher's, which allows several workers",
        default: 'student',
        placeholder: 'STATES',
        setting: 'repair.states',
        choiceTexts: {
          student:
            'Hidden states of the smaller model, as repaired so far: closest to its real inputs.',
          teacher:
            'Hidden states of the original: sublayers are independent, so workers can share them.',
        },
      }),
      scope: choice(repairScopes, {
        description:
          'Scope of training: sublayer by sublayer, the full model in one process, or first one and then the other',
        fallback:
          'both if layers are compressed, else model; sublayers for encoders, ONNX graphs, and if memory is too small for more',
        placeholder: 'SCOPE',
      }),
      epochs: integer({
        description: 'Maximum number of passes over the text',
        fallback:
          '1, or 2 if the text has less than about two thirds of the sequences of the effort',
        min: 0,
      }),
      batch: integer({
        description: 'Sequences per step',
        default: defaultRepair.batch,
        min: 1,
      }),
      rate: number({
        description: 'Learning rate of Adam, in units of the smallest root mean square of a tensor',
        default: defaultRepair.rate,
        above: 0,
      }),
      seed: integer({ description: 'Seed of the order', default: defaultRepair.seed, min: 0 }),
    }),
    ...learningFields(defaultRepairText),
    ...requirementFields,
    ...runFields,
    ...sharingFields,
  },
  rules: [
    excludes('effort', 'sequences'),
    ...calibrationRules,
    ...requirementRules,
    ...sharingRules,
    actsOnlyWith('workers', 'states', ['teacher']),
    actsOnlyWith('queue', 'states', ['teacher']),
  ],
  result: v.looseObject({
    written: v.nullable(v.looseObject({ path: v.string() })),
    learned: v.looseObject({ tokens: v.number(), passes: v.number() }),
    lossBefore: v.number(),
    lossAfter: v.number(),
    slices: v.array(v.looseObject({ sublayer: v.string() })),
    verdict: v.optional(verdictSchema),
  }),
  trust: 'write',
  passes: keepsLimits,
  requires: () => ({ model: 'repair' }),
  resume: (request) => workFolder(request.out, 'repair'),
  work: async (request, { open }) => {
    const { train, states, scope, effort, epochs, batch, workers } = request;
    const opened = await open(request.model);
    const { summary } = opened;
    const { sequences, length } = repairText(request, summary);
    return {
      kind: [
        train ?? defaultTrains(opened),
        states,
        scope ?? repairEfforts[effort].compressed,
        epochs,
        batch,
        workers,
      ],
      amount: sequences * length * summary.parameters,
      parameters: summary.parameters,
    };
  },
  run: async (request, context): Promise<Repaired> => {
    const { open, samples, version } = context.environment;
    const { train, states, scope, effort, epochs, batch, rate, seed } = request;
    const model = await open(request.model);
    const teacher = await open(request.teacher);
    await requireMeasurable(selectRequirements(request), { original: teacher }, context);
    const result = await repairModel(
      {
        model,
        teacher,
        text: repairText(request, model.summary),
        bundledText: join(samples, 'calibration.txt'),
        settings: { ...defaultRepair, batch, rate, seed },
        reads: repairEfforts[effort].sequences,
        ...(epochs === undefined ? {} : { epochs }),
        ...{ states, version, engine: createEngine(request, context.environment) },
        ...(train === undefined ? {} : { trains: train }),
        compressedScope: repairEfforts[effort].compressed,
        ...(scope === undefined ? {} : { scope }),
        ...{ out: request.out, overwrite: request.overwrite },
        ...runOptions(request),
      },
      context,
    );
    if (request.require === undefined) {
      return result;
    }
    const requirements = selectRequirements(request);
    const changed = result.written === null ? model : await open(result.written.path);
    const models = { original: teacher, changed, ...runOptions(request) };
    // If they can't be compared, the verdict is "not enough evidence".
    const quality =
      asksFor(request.require, 'agreement') && !predictText(models)
        ? await attempt(
            async () => compareWithOriginal(models, requirements, context),
            () => undefined,
          )
        : undefined;
    return { ...result, verdict: await judgeChanged(models, requirements, quality, context) };
  },
  presentation: {
    panel: 'heatmap',
    jobName: say`Repairing`,
    report: 'repaired',
    opens: 'writtenModel',
    original: 'teacher',
    outcome: (result, job) => repairedOutcome(result, job),
    nextSteps: () => ['playground', 'reveal', 'evaluateBoth', 'inspect'],
  },
});

function repairedOutcome(
  { written, unit, lossBefore, lossAfter }: Repaired,
  { name }: FinishedJob<unknown>,
): Outcome {
  if (written === null) {
    return {
      summary: say`Repair found no improvement on this text, so nothing is written. ${name} is unchanged.`,
      writesNothing: true,
    };
  }
  const file = basename(written.path);
  const [before, after] = [lossBefore.toPrecision(3), lossAfter.toPrecision(3)];
  const less = formatPercent(1 - lossAfter / lossBefore);
  return {
    summary:
      unit === 'nats'
        ? say`${file}: the distance to the original on held-out text fell from ${before} to ${after} nats per token (${less} less).`
        : say`${file}: the relative squared error of the outputs on held-out examples fell from ${before} to ${after} (${less} less).`,
  };
}
