import { chooseForAll } from '../pipelines/compression/layer-choices';
import { spreadRanks } from '../pipelines/compression/spread-ranks';
import { plannedChanges } from '../plans/plan';
import type { Plan } from '../plans/plan';
import { workFolder } from '../jobs/work-folder';
import { linearRoles } from '../models/matrix-encoding';
import type { OpenedModel } from '../models/opened-model';
import { parseCompression, quantizerNames } from '../tensornet/compression-choice';
import type { CompressionRequest } from '../tensornet/compression-choice';
import type { SensitivityEvent } from '../tensornet/sensitivity/sensitivity-profile';
import { UserError } from '../user-error';
import {
  budgetNames,
  budgetRules,
  budgetWork,
  explainNoTypes,
  openBudgetFields,
  planByBudget,
} from './budget-fields';
import { choicesWork, compressionFields, compressionSettings } from './compression-fields';
import { choice, flag, group, leftOpen, list, text } from './fields';
import type { RequestOf } from './fields';
import { selectedBlocks, layerFields, layerNames, getEmbeddingAndHead } from './layer-fields';
import { methodsToTry, trialFields } from './measure-sensitivity';
import type { OperationContext } from './operation';
import { allNeed } from './rules';
import { runFields, runOptions } from './shared-fields';
import type { Work } from './work';
import { counted, say } from '../message';

const methodFields = group('Method', {
  method: text({
    description:
      'Compress all layers by mpo, lowrank, int8 or int4, with a setting as in lowrank:50%:covariance+int4',
    placeholder: 'METHOD',
  }),
  setting: text({
    description:
      'Bond dimension, rank or group size, or the remaining share of a layer, such as 50%',
    fallback: "the method's own",
    placeholder: 'N|P%',
  }),
  variant: text({
    description: 'Variant of the method',
    fallback: "the method's own",
    placeholder: 'NAME',
  }),
  then: choice(quantizerNames, {
    description:
      'Also quantize low-rank factors, and layers that are skipped or would not get smaller',
    placeholder: 'METHOD',
  }),
  spreadRanks: flag({
    description: 'Distribute ranks among layers by need',
    default: false,
  }),
  skip: list({
    description: 'Roles of linear layers to leave unchanged',
    choices: linearRoles,
    placeholder: 'ROLE,…',
  }),
});

/** Fields that choose how each layer is compressed: one method for all, or a budget. */
export const planningFields = {
  ...leftOpen({
    ...methodFields,
    ...trialFields,
    methods: { ...trialFields.methods, description: methodsToTry },
    ...layerFields,
  }),
  ...openBudgetFields,
  ...compressionFields,
  ...runFields,
};

const forMethod = ['setting', 'variant', 'then', 'spreadRanks', 'skip'];

/** Fields that have no effect if a plan is given. */
export const planningNames = [...forMethod, ...budgetNames, ...layerNames];

/** Rules of {@link planningFields}. */
export const planningRules = [
  allNeed(forMethod, 'method'),
  allNeed(budgetNames, 'budget'),
  ...budgetRules,
];

type PlanningRequest = RequestOf<typeof planningFields> & {
  readonly model: OpenedModel;
  readonly out: string;
};

type PlannedChanges = Pick<Plan, 'remove' | 'widths' | 'compress' | 'note'>;

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
    const folder = `${workFolder(request.out, 'compress')}-plan`;
    const { note, ...plan } = await planByBudget(
      { ...request, budget, takesTypes: false },
      folder,
      context,
    );
    return { ...plannedChanges(plan), note };
  }
  throw new RangeError('a method or a budget is chosen');
}

async function chooseByMethod(
  request: PlanningRequest,
  method: string,
  context: OperationContext<SensitivityEvent>,
): Promise<PlannedChanges> {
  const { model } = request.model;
  const compression = requestedCompression(request, method);
  if (compression.method === 'gguf') {
    throw explainNoTypes('method');
  }
  const { choices, unfit } = choicesByMethod(request, compression);
  if (unfit.length > 0) {
    const example = unfit[0]?.id ?? '';
    context.warn(
      compression.then === undefined
        ? say`${counted(unfit.length, 'layer')} would not be smaller at this setting and are left unchanged (such as ${example}).`
        : say`${counted(unfit.length, 'layer')} would not be smaller at this setting (such as ${example}).`,
    );
  }
  if (request.spreadRanks !== true) {
    return { remove: [], compress: choices };
  }
  if (compression.method !== 'lowrank') {
    throw new UserError(
      'ranks-not-distributable',
      say`Ranks can be distributed for lowrank only, not for ${compression.method}.`,
      { field: 'spreadRanks', remedy: say`Leave it out, or choose lowrank.` },
    );
  }
  const settings = {
    ...runOptions(request),
    ...compressionSettings(request, model, choices, context.environment),
  };
  return { remove: [], compress: await spreadRanks(model, choices, settings, context) };
}

function choicesByMethod(
  request: PlanningRequest,
  compression: CompressionRequest,
): ReturnType<typeof chooseForAll> {
  const { roles, skip } = request;
  const blocks = selectedBlocks(request);
  return chooseForAll(request.model.model, compression, {
    ...(roles === undefined ? {} : { roles }),
    ...(skip === undefined ? {} : { skip }),
    ...(blocks === undefined ? {} : { blocks }),
    embeddingAndHead: getEmbeddingAndHead(request),
  });
}

/** Work of choosing the compression and then compressing. */
export function compressingWork(request: PlanningRequest): Work | undefined {
  const { method, budget, model, spreadRanks: spreads, calibrate } = request;
  if (method !== undefined) {
    const { choices } = choicesByMethod(request, requestedCompression(request, method));
    return choicesWork(model, choices, calibrate, spreads ?? false);
  }
  return budget === undefined ? undefined : budgetWork({ ...request, budget });
}

/** Compression that the fields `method`, `setting`, `variant` and `then` describe. */
function requestedCompression(
  { setting, variant, then }: PlanningRequest,
  method: string,
): CompressionRequest {
  const parts = [method, setting, variant].filter((part) => part !== undefined).join(':');
  return parseCompression(then === undefined ? parts : `${parts}+${then}`, 'method');
}
