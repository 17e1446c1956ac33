import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultContext } from '../quality-labels';
import { sensitivityCalibration } from '../data/calibration-defaults';
import { measureRunTimes } from '../generate/run-times';
import { resumable } from '../jobs/saved-parts';
import type { OpenedModel } from '../models/opened-model';
import { explainNotInGguf } from '../pipelines/gguf-changes';
import { refusedAs } from '../export/output-options';
import type { LayerProfile } from '../prune/layer-profile';
import { parseLayerProfile } from '../prune/layer-profile-schema';
import { defaultRounds, planForBudget } from '../tensornet/budget/plan-for-budget';
import type { PlanTimer } from '../tensornet/budget/plan-for-budget';
import { budgetUnits, limitSyntax, parseLimit } from '../tensornet/budget/budget-limits';
import type { Budget } from '../tensornet/budget/budget-limits';
import { planUnderBudget } from '../tensornet/budget/plan-under-budget';
import type { CompressionPlan, RemovalCost } from '../tensornet/budget/plan-under-budget';
import { planNote } from '../tensornet/budget/refine-plan';
import type { RefinedPlan } from '../tensornet/budget/refine-plan';
import { resolveDevice } from '../runtime/devices';
import { encodingNames, parseCompression } from '../tensornet/compression-choice';
import { choosesTypes, findGgufFacts } from '../tensornet/sensitivity/gguf-facts';
import { profileCalibration } from '../tensornet/sensitivity/sensitivity-profile';
import type {
  SensitivityEvent,
  SensitivityProfile,
  TokenTimes,
} from '../tensornet/sensitivity/sensitivity-profile';
import { parseSensitivityProfile } from '../tensornet/sensitivity/sensitivity-profile-schema';
import { withEmbeddingAndHead, withSchemes } from '../tensornet/sensitivity/schemes';
import { UserError } from '../user-error';
import { choice, document, flag, group, integer, leftOpen, list, number } from './fields';
import type { RequestOf } from './fields';
import { operationJournal } from './journals';
import { getEmbeddingAndHead } from './layer-fields';
import type { layerFields } from './layer-fields';
import {
  measureSensitivity,
  sensitivityJournal,
  sensitivityWork,
  trialFields,
} from './measure-sensitivity';
import type { OperationContext } from './operation';
import { excludes, replaces } from './rules';
import type { NameOf, Rule } from './rules';
import { calibrationNames, requestedCalibration, runOptions } from './shared-fields';
import type { CalibrationFields, runFields } from './shared-fields';
import type { Work } from './work';
import { payingSharingFields, sharingNames, sharingRules } from './sharing';
import { say } from '../message';
import type { Message } from '../message';
import { readSmallText } from '../regular-file';

const budgetFacts = {
  description: 'Fraction of the model to keep, with the cheapest change for each layer',
  placeholder: 'R',
  above: 0,
  max: 1,
} as const;

/** Unit of the budget, and additional changes that a plan may make. */
export const sizeFields = {
  unit: choice(budgetUnits, {
    description: 'Unit of the budget',
    default: 'bytes',
    placeholder: 'UNIT',
  }),
  context: integer({
    description: 'Context length for the KV cache in memory',
    fallback: `${defaultContext}, or the model's context if that is less`,
    unit: 'tokens',
    min: 1,
  }),
  profile: document('layerProfile', {
    description: 'A *.layerprofile.json; its sublayers may also be removed',
  }),
  limits: list({
    description:
      'Further limits, such as memory<2GB,parameters<100M,decode<20; a percentage is a share of the model',
    form: limitSyntax,
    placeholder: 'LIMIT,…',
  }),
  keepWidths: flag({
    description: "Don't prune widths, even if the profile measured them",
    default: false,
  }),
};

/** Options of planning under a budget. */
const howFields = group('Budget', {
  ...sizeFields,
  sensitivity: document('sensitivity', {
    description: 'A *.sensitivity.json of the model; measured first if absent',
  }),
  rounds: integer({
    description: 'Refinement rounds: measure the whole plan and plan again',
    default: defaultRounds,
    min: 0,
  }),
  ...payingSharingFields,
});

/** Budget fields of operations that have other ways to choose the compression. */
export const openBudgetFields = group('Budget', {
  budget: number(budgetFacts),
  ...leftOpen(howFields),
});

export const budgetFields = group('Budget', { budget: number(budgetFacts), ...howFields });

/** Fields that require a budget. */
export const budgetNames = [...Object.keys(howFields), ...Object.keys(trialFields)];

const countsMemory = (name: NameOf): Message =>
  say`${name('context')} applies only if ${name('unit')} or ${name('limits')} limits memory.`;

/** Rule: `context` needs a limit of memory. */
export const contextRule: Rule = {
  describe: countsMemory,
  check: ({ context, limits }, { unit }) =>
    context === undefined ||
    unit === 'memory' ||
    [limits].flat().some((limit) => /^memory</i.test(String(limit)))
      ? undefined
      : { fields: ['context'], code: 'flag-without-effect', problem: countsMemory },
};

export const budgetRules = [
  ...sharingRules,
  contextRule,
  excludes('widths', 'keepWidths'),
  replaces(
    'sensitivity',
    ['metric', 'precision', 'roles', 'blocks', 'widths', ...sharingNames],
    say`the sensitivity profile has its own`,
  ),
];

type BudgetRequest = Partial<RequestOf<typeof howFields>> &
  Partial<RequestOf<typeof trialFields>> &
  Partial<RequestOf<typeof layerFields>> &
  RequestOf<CalibrationFields> &
  RequestOf<typeof runFields> & {
    readonly model: OpenedModel;
    readonly budget?: number;
    readonly seed: number;
    /** Time by `performance.now()` after which plans are no longer refined. */
    readonly planDeadline?: number | undefined;
  };

/**
 * Plans from the cost of compressing each layer alone. Measures it first if no profile is given, and keeps it
 * until {@link forgetMeasured}.
 * @param request takesTypes: whether it may choose types of a GGUF file; measured: the profile, if it isn't in a file
 * @param folder for work, removed at the end
 */
export async function planByBudget(
  {
    takesTypes,
    measured,
    ...request
  }: BudgetRequest & { readonly takesTypes: boolean; readonly measured?: SensitivityProfile },
  folder: string,
  context: OperationContext<SensitivityEvent>,
): Promise<RefinedPlan & { readonly note: string }> {
  const { model, rounds = defaultRounds } = request;
  const budget = compressionBudget(request);
  if (request.sensitivity === undefined && measured === undefined) {
    // Before it is measured.
    const { methods = encodingNames } = request;
    const chosen = methods.map((text) => parseCompression(text, 'methods').method);
    if (choosesTypes(chosen) && !takesTypes) {
      throw explainNoTypes('methods');
    }
  }
  const table =
    measured ??
    (request.sensitivity === undefined
      ? await measureSensitivity(request, undefined, context, true)
      : await readTable(request.sensitivity, request.methods));
  const choices = await readChoices(request, table);
  if (!takesTypes && findGgufFacts(choices.table) !== undefined) {
    throw explainNoTypes('sensitivity');
  }
  const isGiven = calibrationNames.some((name) => request[name] !== undefined);
  const { samples, version } = context.environment;
  const wanted = {
    ...{ model, ...choices, budget, rounds },
    calibration: isGiven
      ? requestedCalibration(
          request,
          sensitivityCalibration,
          model.summary.maxPositions,
          table.metric,
        )
      : profileCalibration(table),
    ...{ bundledText: join(samples, 'calibration.txt'), folder },
    ...runOptions(request),
    // llama.cpp runs GGUF files, so times measured here don't apply.
    time: table.gguf === undefined ? await createPlanTimer(request, context) : undefined,
    deadline: request.planDeadline,
    ...(table.gguf === undefined
      ? {}
      : {
          refuse: async (changes: Pick<CompressionPlan, 'remove' | 'widths'>) => {
            const refusal = await explainNotInGguf(model, changes);
            return refusal && refusedAs({ format: 'gguf' }, refusal, model.path);
          },
        }),
  };
  const place = async (): Promise<string> => planJournal.prepare(undefined, model.path);
  const plan = await resumable({ place, out: undefined, version }, context, async (saved) =>
    planForBudget({ ...wanted, saved }, context),
  );
  return { ...plan, note: planNote(plan, budget.limits, table.metric) };
}

/** Function that times a plan's model relative to the original; undefined if the model can't generate. */
async function createPlanTimer(
  request: BudgetRequest,
  context: OperationContext<SensitivityEvent>,
): Promise<PlanTimer | undefined> {
  const { model, capabilities } = request.model;
  if (!capabilities.generate.able) {
    return undefined;
  }
  const { device: choice, memoryBytes } = runOptions(request);
  const on = await resolveDevice(choice, () => undefined);
  const where = { device: on, memoryBytes, enough: 2000 };
  const quiet = { ...context, progress: () => undefined };
  return async (changed, removed) => {
    const variant = { change: {}, removed, open: async () => Promise.resolve(changed) };
    const times = await measureRunTimes(model, [variant], where, quiet);
    const [own] = times?.changed ?? [];
    return times && own && relativeTimes(own, times.whole);
  };
}

const relativeTimes = (part: TokenTimes, whole: TokenTimes): TokenTimes => ({
  decodeMsPerToken: part.decodeMsPerToken / whole.decodeMsPerToken,
  prefillMsPerToken: part.prefillMsPerToken / whole.prefillMsPerToken,
});

/** Error for a budget that includes GGUF types, in an operation that doesn't write GGUF. */
export function explainNoTypes(field: string): UserError {
  return new UserError('types-not-chosen', say`GGUF types are not chosen here.`, {
    field,
    remedy: say`Use plan-compression, then apply with --format gguf, or use convert --type for one of llama.cpp's mixes.`,
  });
}

/** Options of a plan: measured changes of single layers, and removable sublayers. */
interface Choices {
  readonly table: SensitivityProfile;
  readonly removable: readonly RemovalCost[];
}

async function readChoices(
  request: Pick<BudgetRequest, 'profile' | 'keepWidths' | 'embeddings' | 'head'>,
  table: SensitivityProfile,
): Promise<Choices> {
  const removable =
    request.profile === undefined ? [] : await readRemovable(request.profile, table);
  return {
    table: withEmbeddingAndHead(
      withoutWidthsUnlessKept(table, request),
      getEmbeddingAndHead(request),
    ),
    removable,
  };
}

/** Table without width pruning, unless the request asks for it. */
export function withoutWidthsUnlessKept(
  { widths, ...table }: SensitivityProfile,
  { keepWidths }: Pick<BudgetRequest, 'keepWidths'>,
): SensitivityProfile {
  return widths === undefined || keepWidths === true ? table : { ...table, widths };
}

/** Time limit in seconds of a plan that follows a slider; the best plan so far is used. */
const predictionSeconds = 0.2;

/**
 * Plans from the costs of single changes, without running the model.
 * @throws UserError if there is no sensitivity profile, or it cannot keep the limits.
 */
export async function predictPlan(
  request: Omit<BudgetRequest, 'model'> & { readonly sensitivity: string },
): Promise<CompressionPlan> {
  const known = await readTable(request.sensitivity, request.methods);
  const { table, removable } = await readChoices(request, known);
  return planUnderBudget(table, compressionBudget(request), removable, predictionSeconds);
}

/** Limits of a request, starting with its budget. */
export function compressionBudget({
  budget,
  unit = 'bytes',
  limits = [],
  context,
}: Pick<BudgetRequest, 'budget' | 'unit' | 'limits' | 'context'>): Budget {
  return {
    limits: [
      ...(budget === undefined ? [] : [{ unit, ratio: budget }]),
      ...limits.map((limit) => parseLimit(limit)),
    ],
    context,
  };
}

/**
 * Work of planning under a budget. Measuring a few plans of the full model is not counted: it takes far less time than
 * the sensitivity profile, which tries many settings of each layer.
 */
export function budgetWork(request: BudgetRequest): Work {
  const { model, rounds = defaultRounds, sensitivity, profile, budget, unit, limits } = request;
  const { kind, amount } = sensitivityWork(request);
  return {
    kind: [rounds, sensitivity !== undefined, profile !== undefined, budget, unit, limits, ...kind],
    amount,
    parameters: model.summary.parameters,
  };
}

const planJournal = operationJournal('plan');

/** Journals of planning: measured plans, and measured single changes if no sensitivity profile is given. */
export const planJournalPaths = (model: string, sensitivity: string | undefined): string[] => [
  planJournal.path(undefined, model),
  ...(sensitivity === undefined ? [sensitivityJournal.path(undefined, model)] : []),
];

/** Deletes the sensitivity journal of a model, after the result of a plan was written. */
export async function forgetMeasured(model: string): Promise<void> {
  await rm(sensitivityJournal.path(undefined, model), { force: true });
}

/** Reads a sensitivity profile, restricted to some methods if given. */
export async function readTable(
  file: string,
  methods: readonly string[] | undefined,
): Promise<SensitivityProfile> {
  const table = parseSensitivityProfile(
    await readSmallText(file, say`There is no such sensitivity profile.`),
    file,
  );
  const schemes = methods?.map((text) => parseCompression(text, 'methods'));
  const fixed = schemes?.find((scheme) => 'setting' in scheme || 'ratio' in scheme);
  if (fixed !== undefined) {
    throw new UserError(
      'method-setting-fixed',
      say`The sensitivity profile has its own settings of ${fixed.method}.`,
      { field: 'methods', remedy: say`Specify the method without a setting.` },
    );
  }
  return schemes === undefined ? table : withSchemes(table, schemes);
}

/**
 * Removable sublayers of a layer profile.
 * @throws UserError if its distances can't be compared with the table's
 */
export async function readRemovable(
  file: string,
  table: SensitivityProfile,
): Promise<RemovalCost[]> {
  const { model, settings, candidates } = parseLayerProfile(
    await readSmallText(file, say`There is no such layer profile.`),
    file,
  );
  if (model.fingerprint !== table.model.fingerprint || settings.metric !== table.metric) {
    throw new UserError(
      'profile-mismatch',
      say`The layer profile must be of the same model as the sensitivity profile, by ${table.metric}.`,
      { file, field: 'profile', remedy: say`Profile the layers of this model by that metric.` },
    );
  }
  const removable = removalCosts({ model, candidates });
  if (removable.length === 0) {
    throw new UserError(
      'profile-distances-missing',
      say`The layer profile has no distances of single sublayers.`,
      {
        file,
        field: 'profile',
        remedy: say`A budget removes sublayers: profile with \`--granularity sublayer\`.`,
      },
    );
  }
  return removable;
}

/** Removal costs of the sublayers in a layer profile. Plans under a budget remove no blocks or single experts. */
export function removalCosts({
  model: { sublayers },
  candidates,
}: Pick<LayerProfile, 'model' | 'candidates'>): RemovalCost[] {
  return candidates.flatMap(({ sublayer, distance }) =>
    distance === null || sublayers.every(({ id }) => id !== sublayer)
      ? []
      : [{ sublayer, distance }],
  );
}
