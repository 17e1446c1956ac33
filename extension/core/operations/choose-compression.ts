import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sensitivityCalibration } from '../data/calibration-defaults';
import { chooseForAll } from '../export/compression/layer-choices';
import { spreadRanks } from '../export/compression/spread-ranks';
import type { Plan } from '../export/plan';
import { workFolder } from '../jobs/work-folder';
import { linearRoles } from '../models/matrix-encoding';
import type { OpenedModel } from '../models/opened-model';
import { defaultRounds, planForBudget } from '../tensornet/budget/plan-for-budget';
import { budgetUnits } from '../tensornet/budget/plan-under-budget';
import { parseCompression, quantizerNames } from '../tensornet/compression-choice';
import type { CompressionRequest } from '../tensornet/compression-choice';
import type {
  SensitivityEvent,
  SensitivityProfile,
} from '../tensornet/sensitivity/sensitivity-profile';
import { calibrationOf as calibrationOfTable } from '../tensornet/sensitivity/sensitivity-profile';
import { parseSensitivityProfile } from '../tensornet/sensitivity/sensitivity-profile-schema';
import { withOuter } from '../tensornet/sensitivity/ways';
import { UserError } from '../user-error';
import { compressionFields, compressionSettings } from './compression-fields';
import { choice, flag, group, integer, leftOpen, list, number, path, text } from './fields';
import type { RequestOf } from './fields';
import { blocksOf, layerFields, layerNames, outerOf } from './layer-fields';
import { measureSensitivity, trialFields } from './measure-sensitivity';
import type { OperationContext } from './operation';
import { needs, replaces } from './rules';
import { calibrationNames, calibrationOf, runFields, runOptions } from './shared-fields';

const methodFields = group('Method', {
  method: text({
    description:
      'Compress all layers by mpo, lowrank, int8 or int4, with a setting as in lowrank:50%:covariance+int4',
    placeholder: 'METHOD',
  }),
  level: text({
    description: 'Bond dimension, rank or block size, or how much of a layer is left, as 50%',
    fallback: "the method's own",
    placeholder: 'N|P%',
  }),
  variant: text({
    description: 'Variant of the method',
    fallback: "the method's own",
    placeholder: 'NAME',
  }),
  then: choice(quantizerNames, {
    description: 'Quantize what a low rank leaves, and layers that do not get smaller',
    placeholder: 'METHOD',
  }),
  spreadRanks: flag({
    description: 'Give layers of a low rank more or less of it by what each needs',
    default: false,
  }),
  skip: list({
    description: 'Roles of linear layers that stay as they are',
    choices: linearRoles,
    placeholder: 'ROLE,…',
  }),
});

const budgetFields = group('Budget', {
  budget: number({
    description: 'Compress each layer by what costs least, down to this fraction of the model',
    placeholder: 'R',
    above: 0,
    max: 1,
  }),
  unit: choice(budgetUnits, {
    description: 'What the budget counts',
    default: 'bytes',
    placeholder: 'UNIT',
  }),
  sensitivity: path({
    description: 'A *.sensitivity.json of the model; measured first if absent',
  }),
  rounds: integer({
    description: 'Times that the plan is made again by what the whole of it showed',
    default: defaultRounds,
    min: 0,
  }),
});

/** What chooses how each layer is compressed: one method for all, or a budget. */
export const planningFields = {
  ...leftOpen({ ...methodFields, ...budgetFields, ...trialFields, ...layerFields }),
  ...compressionFields,
  ...runFields,
};

const forMethod = ['level', 'variant', 'then', 'spreadRanks', 'skip'];
const trialNames = Object.keys(trialFields);
const forBudget = ['unit', 'sensitivity', 'rounds', ...trialNames];

/** Fields that a plan leaves nothing to. */
export const planningNames = [...forMethod, ...forBudget, ...layerNames];

export const planningRules = [
  ...forMethod.map((field) => needs(field, 'method')),
  ...forBudget.map((field) => needs(field, 'budget')),
  replaces('sensitivity', [...trialNames, 'roles', 'blocks'], 'it was measured with its own'),
];

type PlanningRequest = RequestOf<typeof planningFields> & {
  readonly model: OpenedModel;
  readonly out: string;
};

type PlannedChanges = Pick<Plan, 'remove' | 'compress' | 'note'>;

/** Plans by one method for all layers, or under a budget. */
export async function chooseCompression(
  request: PlanningRequest,
  context: OperationContext<SensitivityEvent>,
): Promise<PlannedChanges> {
  const { method, budget } = request;
  if (method !== undefined) {
    return chooseByMethod(request, method, context);
  }
  if (budget !== undefined) {
    return chooseByBudget(request, budget, context);
  }
  throw new RangeError('a method or a budget is chosen');
}

async function chooseByMethod(
  request: PlanningRequest,
  method: string,
  context: OperationContext<SensitivityEvent>,
): Promise<PlannedChanges> {
  const { model } = request.model;
  const { roles, skip, spreadRanks: spreads } = request;
  const blocks = blocksOf(request);
  const compression = compressionOf(request, method);
  const { choices, unfit } = chooseForAll(model, compression, {
    ...(roles === undefined ? {} : { roles }),
    ...(skip === undefined ? {} : { skip }),
    ...(blocks === undefined ? {} : { blocks }),
    outer: outerOf(request),
  });
  if (unfit.length > 0) {
    context.warn(
      `${unfit.length} layers (such as ${unfit[0]?.id ?? ''}) would not be smaller at this level${compression.then === undefined ? ' and stay as they are' : ''}.`,
    );
  }
  if (spreads !== true) {
    return { remove: [], compress: choices };
  }
  if (compression.method !== 'lowrank') {
    throw new UserError(`Ranks are spread for lowrank, not for ${compression.method}.`, {
      field: 'spreadRanks',
    });
  }
  const settings = {
    ...runOptions(request),
    ...compressionSettings(request, model, choices, context.environment),
  };
  return { remove: [], compress: await spreadRanks(model, choices, settings, context) };
}

/** The compression that fields describe: method, level, variant and then, or all in one word. */
function compressionOf(
  { level, variant, then }: PlanningRequest,
  method: string,
): CompressionRequest {
  const parts = [method, level, variant].filter((part) => part !== undefined).join(':');
  return parseCompression(then === undefined ? parts : `${parts}+${then}`, 'method');
}

/** By what compressing each layer alone costs, which is measured first where no profile is given. */
async function chooseByBudget(
  request: PlanningRequest,
  ratio: number,
  context: OperationContext<SensitivityEvent>,
): Promise<PlannedChanges> {
  const { model, out, unit = 'bytes', rounds = defaultRounds } = request;
  const table =
    request.sensitivity === undefined
      ? await measureSensitivity(request, undefined, context)
      : await readTable(request.sensitivity);
  const isGiven = calibrationNames.some((name) => request[name] !== undefined);
  const { compress, remove, distance, tried } = await planForBudget(
    {
      model,
      table: withOuter(table, outerOf(request)),
      budget: { unit, ratio },
      rounds,
      calibration: isGiven
        ? calibrationOf(request, sensitivityCalibration, model.summary.maxPositions)
        : calibrationOfTable(table),
      bundledText: join(context.environment.samples, 'calibration.txt'),
      folder: `${workFolder(out, 'compress')}-plan`,
      ...runOptions(request),
    },
    context,
  );
  return {
    remove,
    compress,
    note: `budget ${ratio} of ${unit}, ${table.metric} ${distance.toPrecision(4)}, best of ${tried.length} plans measured`,
  };
}

async function readTable(file: string): Promise<SensitivityProfile> {
  const content = await readFile(file, 'utf8').catch(() => {
    throw new UserError('There is no such sensitivity profile.', { file });
  });
  return parseSensitivityProfile(content, file);
}
