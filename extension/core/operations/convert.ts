import { roundingCalibration } from '../data/calibration-defaults';
import { typeMixes, typeMixNames } from '../export/gguf/type-mixes';
import { formatPercent } from '../format';
import { bestType, describeGrid, findSourceGrid } from '../inspect/source-grid';
import { workFolder } from '../jobs/work-folder';
import { joined, say } from '../message';
import type { Message } from '../message';
import type { OpenedModel } from '../models/opened-model';
import { planFor } from '../plans/plan';
import { UserError } from '../user-error';
import { appliedSchema } from './apply';
import { applyAndMeasure, selectJudging, qualityFields, qualityRules } from './apply-plan';
import type { ApplyResult } from './apply-plan';
import { path, withoutSettings } from './fields';
import type { RequestOf } from './fields';
import { keepsLimits } from './requirement-fields';
import { defineOperation } from './operation';
import type { OperationContext } from './operation';
import {
  calibrationFields,
  calibrationNames,
  calibrationRules,
  distillationWork,
  isCalibrated,
  modelField,
  outputFields,
  outputOptions,
  runFields,
  runOptions,
  typeFields,
  typeOptions,
} from './shared-fields';
import { compressedOutcome } from './outcomes';

/** Calibration fields for rounding; the editor's calibration settings don't apply to them. */
const calibration = withoutSettings(calibrationFields(roundingCalibration));

/**
 * A request with calibration is rounded by error feedback, unless it names another rounding that reads text.
 * @throws UserError if it asks for another rounding.
 */
function withRounding(
  request: RequestOf<typeof typeFields> & RequestOf<typeof calibration>,
): typeof request {
  const given = calibrationNames.find((name) => request[name] !== undefined);
  if (given === undefined || isCalibrated(request.rounding)) {
    return request;
  }
  if (request.rounding !== undefined) {
    throw new UserError(
      'flag-without-effect',
      say`Rounding by ${request.rounding} uses no calibration.`,
      {
        field: given,
        remedy: say`Leave it out, or choose --rounding feedback or distill.`,
      },
    );
  }
  return { ...request, rounding: 'feedback' };
}

/** Warns about a type that rounds weights which have been quantized before, or names the one that keeps them. */
async function adviseOnType(
  model: OpenedModel,
  { format, type }: RequestOf<typeof outputFields> & RequestOf<typeof typeFields>,
): Promise<Message | undefined> {
  if ((format ?? model.format) !== 'gguf') {
    return undefined;
  }
  const grid = await findSourceGrid(model);
  if (grid === undefined || (type === undefined && grid.isStored)) {
    return undefined;
  }
  const best = bestType(grid);
  const base = type === undefined ? undefined : typeMixes[type].base;
  if (base !== undefined && [best, ...grid.lossless, 'F32', 'F16', 'BF16'].includes(base)) {
    return undefined;
  }
  const mix = typeMixNames.find((name) => typeMixes[name].base === best);
  const error = base === undefined ? undefined : grid.added[base];
  return joined([
    describeGrid(grid),
    error === undefined ? undefined : say`${type ?? ''} adds an error of ${formatPercent(error)}.`,
    mix === undefined ? undefined : say`Choose --type ${mix}.`,
  ]);
}

export const convert = defineOperation({
  id: 'convert',
  title: 'Convert Model',
  verb: 'Converting',
  summary: 'Write a model in another format or with other types, and check it.',
  group: 'shrink',
  fields: {
    model: modelField,
    ...outputFields,
    ...typeFields,
    rounding: {
      ...typeFields.rounding,
      fallback: 'feedback if calibration is given, importance with --imatrix, else nearest',
    },
    ...calibration,
    ...qualityFields,
    examples: path({ description: 'Examples to check models without text input' }),
    ...runFields,
  },
  rules: [...qualityRules, ...calibrationRules],
  result: appliedSchema,
  trust: 'write',
  passes: keepsLimits,
  resume: ({ out }) => workFolder(out, 'round'),
  work: async (request, { open }) => distillationWork(request, await open(request.model)),
  run: async (request, context: OperationContext<unknown>): Promise<ApplyResult> => {
    const { examples } = request;
    const model = await context.environment.open(request.model);
    const advice = await adviseOnType(model, request);
    if (advice !== undefined) {
      context.warn(advice);
    }
    return applyAndMeasure(
      {
        ...{ model, judging: selectJudging(request), plan: planFor({ path: model.path }, {}) },
        ...outputOptions(request),
        ...(await typeOptions(withRounding(request), model, context.environment)),
        ...runOptions(request),
        ...(examples === undefined ? {} : { examples }),
      },
      context,
    );
  },
  presentation: {
    opens: 'folder',
    report: 'applied',
    outcome: (result) => compressedOutcome(result),
    nextSteps: () => ['playground', 'reveal', 'evenSmaller', 'compare', 'evaluateBoth'],
  },
});
