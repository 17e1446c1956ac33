import { memoryContext } from '../../quality-labels';
import type { WritableType } from '../../checkpoints/ggml-types';
import { parseRanges } from '../../models/width-pruning/number-ranges';
import type { ModelSummary, SublayerSummary } from '../../models/model-summary';
import type { PlannedWidthPruning } from '../../models/width-pruning/width';
import { UserError } from '../../user-error';
import { settingType } from '../compression-choice';
import type { CompressionChoice } from '../compression-choice';
import { resolveVariant, byImportance } from '../compression-methods';
import { withFileSizes, findGgufFacts } from '../sensitivity/gguf-facts';
import type {
  EmbeddingOrHeadSensitivity,
  GgufFacts,
  LayerSensitivity,
  SensitivityEntry,
  SensitivityProfile,
} from '../sensitivity/sensitivity-profile';
import {
  cacheCost,
  formatAmount,
  isShare,
  isStoredBytes,
  isTimeUnit,
  maxCost,
  wholeCost,
} from './budget-limits';
import type { Budget, BudgetLimit, BudgetUnit } from './budget-limits';
import { restCost, totalCost } from './remaining-costs';
import { chooseOptions } from './choose-options';
import { timesFromRuns } from './timed-by-runs';
import { combinedStates, matrixState, widthAlternatives } from './part-states';
import type { OpenSublayer, PlannedState } from './part-states';
import { leastCost, slack, totals } from './budget-problem';
import type { BudgetProblem, BudgetSolution, Costs, PartChoice } from './budget-problem';
import { say } from '../../message';

/** Sublayer that can be removed, with the distance of the model without it. */
export interface RemovalCost {
  readonly sublayer: string;
  readonly distance: number;
}

/** Cost of a planned model in the unit of a limit. */
export interface LimitKept {
  readonly unit: BudgetUnit;
  readonly cost: number;
  readonly before: number;
  readonly most: number;
}

/** Plan of changes that meets a budget. */
export interface CompressionPlan {
  readonly compress: readonly CompressionChoice[];
  /** Ids of sublayers and experts. */
  readonly remove: readonly string[];
  readonly widths: readonly PlannedWidthPruning[];
  /** Types of the tensors of a GGUF file, if `compress` selects such types. */
  readonly types?: Readonly<Record<string, WritableType>>;
  /** True if a type was measured with an importance matrix. */
  readonly byImportance?: true;
  /** Cost of the whole model in the unit of the first limit. */
  readonly cost: number;
  readonly costBefore: number;
  /** Costs for every limit. */
  readonly limits: readonly LimitKept[];
  /** Sum of the measured distances of the single changes. */
  readonly sumOfDistances: number;
}

/** Block, sublayer, embedding or head: meanings of its states, in the order of the problem's. */
export interface PlannedPart {
  readonly states: readonly PlannedState[];
}

/** Optimization problem of a plan, with the meaning of its parts. */
export interface PlannedProblem extends BudgetProblem {
  readonly planned: readonly PlannedPart[];
  /** Costs outside all parts, by limit. */
  readonly fixed: Costs;
  readonly before: Costs;
  readonly budget: Budget;
  readonly gguf: GgufFacts | undefined;
}

/**
 * Formulates the choice among a profile's measured options as a {@link BudgetProblem}. The first state of every part is
 * unchanged, and so is the first option of every layer.
 * @param how isTimed: plans will be timed, so limits in milliseconds below the profile's minimum are raised to it
 * @throws UserError if a share is invalid, a limit can't be met, or the profile lacks required times; see
 * {@link findGgufFacts}
 */
export function planProblem(
  table: SensitivityProfile,
  budget: Budget,
  removable: readonly RemovalCost[] = [],
  { isTimed = false }: { readonly isTimed?: boolean } = {},
): PlannedProblem {
  const { limits, context = memoryContext(table.model) } = budget;
  limits.forEach(requireShare);
  const gguf = findGgufFacts(table);
  const counted = gguf === undefined ? table : withFileSizes(table, gguf);
  const { model, embeddingAndHead = [], widths = [], original } = counted;
  const { layers, besides, rest: restOf } = timesFromRuns(counted);
  const units = limits.map(({ unit }) => unit);
  const counting = {
    units,
    // Distances by perplexity start at the original's perplexity.
    excessDistance: ({ distance }: { readonly distance: number }) =>
      Math.max(0, distance - original),
    rest: (sublayer: SublayerSummary, share: number) => {
      const own = layers.filter((layer) => layer.sublayer === sublayer.id);
      return units.map(
        (unit) =>
          restCost(unit, sublayer, own) +
          besides(unit, sublayer, share) +
          share * cacheCost(unit, sublayer, context),
      );
    },
  };
  const sublayers = model.sublayers.map((sublayer): OpenSublayer => {
    const removal = removable.find((one) => one.sublayer === sublayer.id);
    return {
      sublayer,
      matrices: layers.filter((layer) => layer.sublayer === sublayer.id),
      width: widths.find((one) => one.sublayer === sublayer.id),
      removalLoss: removal && counting.excessDistance(removal),
    };
  });
  // A GGUF file may lack some sublayers only with the others of their block.
  const groups =
    gguf === undefined
      ? sublayers.map((one) => [one])
      : Array.from({ length: model.blocks }, (_, block) =>
          sublayers.filter(({ sublayer }) => sublayer.block === block),
        ).filter((group) => group.length > 0);
  const parts = [
    ...groups.map((group) => combinedStates(group, counting, gguf)),
    ...embeddingAndHead.map((matrix) => [matrixState(matrix, counting)]),
  ].map((states) => ({
    planned: states.map(({ planned }) => planned),
    states: states.map(({ state }) => state),
  }));
  const alternatives =
    gguf === undefined
      ? undefined
      : widthAlternatives(
          parts.map(({ planned }) => planned),
          sublayers,
          gguf,
        );
  const before = units.map((unit) =>
    wholeCost(unit, model, context, {
      ...{ linear: totalCost(layers, unit), embeddingAndHead: totalCost(embeddingAndHead, unit) },
      rest: restOf(unit),
    }),
  );
  const unchanged = parts.map(({ states: [first] }) => ({
    state: 0,
    options: (first?.layers ?? []).map(() => 0),
  }));
  const problem = { parts: parts.map(({ states }) => ({ states })), limits: before, alternatives };
  const listed = totals(problem, unchanged).costs;
  const fixed = before.map((cost, i) => cost - (listed[i] ?? 0));
  const left = limits.map((limit, i) => {
    const most = maxCost(limit, before[i] ?? 0);
    if (isTimeUnit(limit.unit)) {
      requireTimes(limit, before[i] ?? 0, table);
    }
    const least = leastCost(problem, i);
    const own = fixed[i] ?? 0;
    if (own + least > most && !(isTimed && isTimeUnit(limit.unit))) {
      throw limitTooLow(limit, own + least, most);
    }
    const header = gguf !== undefined && isStoredBytes(limit.unit) ? headerBytes(model) : 0;
    return Math.max(slack * least, most - own - header);
  });
  return {
    ...problem,
    planned: parts.map(({ planned }) => ({ states: planned })),
    limits: left,
    ...{ fixed, before, budget, gguf },
  };
}

/** Bytes of lists in the header of a GGUF file whose blocks differ: three sizes per block, and their keys. */
const headerBytes = ({ blocks }: ModelSummary): number => 3 * 4 * blocks + 128;

function requireShare(limit: BudgetLimit): void {
  if ('ratio' in limit && !isShare(limit.ratio)) {
    throw new UserError(
      'share-invalid',
      say`${limit.ratio} is not a share of the model above 0 and below 1.`,
      { field: limit.field ?? 'budget', remedy: say`For half of it, write 0.5.` },
    );
  }
}

/** @throws UserError if layers have no times for a limit in milliseconds */
function requireTimes(
  limit: BudgetLimit,
  whole: number,
  { settings: { roles, blocks }, runs }: SensitivityProfile,
): void {
  if (whole === 0) {
    throw new UserError(
      'profile-times-missing',
      say`The sensitivity profile has no times: all layers are convolutions.`,
      { field: limit.field ?? 'unit', remedy: say`Count bytes, parameters or flops.` },
    );
  }
  const isAmount = 'most' in limit && Number.isFinite(limit.most);
  if (isAmount && runs === undefined && roles.length + blocks.length > 0) {
    throw new UserError(
      'profile-times-incomplete',
      say`The sensitivity profile has the times of only some layers, so a number of milliseconds can't be checked.`,
      {
        field: limit.field ?? 'unit',
        remedy: say`Profile the sensitivity of all roles and blocks, or limit a percentage.`,
      },
    );
  }
}

/** Error for a limit that no choice meets. */
export function limitTooLow({ unit, field }: BudgetLimit, least: number, most: number): UserError {
  return new UserError(
    'budget-not-reachable',
    say`The measured options leave at least ${formatAmount(unit, least)} (${unit}), above the budget of ${formatAmount(unit, most)}.`,
    {
      field: field ?? 'budget',
      remedy: say`Choose a larger budget, measure smaller settings or more methods, or allow removing sublayers.`,
    },
  );
}

/**
 * Changes with the smallest sum of measured distances that meet a budget.
 * @param seconds time limit of the solver, after which the best known solution is used
 * @throws UserError if the measured options can't meet it
 */
export async function planUnderBudget(
  table: SensitivityProfile,
  budget: Budget,
  removable: readonly RemovalCost[] = [],
  seconds?: number,
): Promise<CompressionPlan> {
  const problem = planProblem(table, budget, removable);
  return toPlan(problem, await chooseOptions(problem, seconds));
}

/** Converts a solution to a plan. */
export function toPlan(
  { planned, fixed, before, budget, gguf }: PlannedProblem,
  { parts, costs, loss }: BudgetSolution,
): CompressionPlan {
  const taken = planned.map((part, i) => partChanges(part, parts[i]));
  const limits = budget.limits.map((limit, i): LimitKept => ({
    unit: limit.unit,
    cost: (fixed[i] ?? 0) + (costs[i] ?? 0),
    before: before[i] ?? 0,
    most: maxCost(limit, before[i] ?? 0),
  }));
  const [first] = limits;
  const compress = taken.flatMap((one) => one.compress);
  // Embedding and head are quantized without calibration.
  const outside = new Set(
    planned.flatMap(({ states: [first] }) =>
      (first?.matrices ?? []).flatMap((one) => ('sublayer' in one ? [] : tensorIds(one))),
    ),
  );
  const isByImportance = compress.some(
    (choice) => !outside.has(choice.tensor) && resolveVariant(choice, true) === byImportance,
  );
  return {
    compress,
    ...(gguf === undefined ? {} : { types: tensorTypes(compress, gguf) }),
    ...(isByImportance ? { byImportance: true } : {}),
    remove: taken.flatMap(({ remove }) => remove),
    widths: taken.flatMap(({ widths }) => widths),
    cost: first?.cost ?? 0,
    costBefore: first?.before ?? 0,
    limits,
    sumOfDistances: loss,
  };
}

/** Type of each tensor of the GGUF file that a choice applies to. */
function tensorTypes(
  choices: readonly CompressionChoice[],
  { tensors }: GgufFacts,
): Record<string, WritableType> {
  return Object.fromEntries(
    choices.flatMap(({ tensor, setting }) =>
      Object.keys(tensors[tensor] ?? {}).map((name) => [name, settingType(setting)] as const),
    ),
  );
}

/** Changes that a choice makes to a part. */
function partChanges(
  { states }: PlannedPart,
  choice: PartChoice | undefined,
): Pick<CompressionPlan, 'remove' | 'widths' | 'compress'> {
  const { changes = [], matrices = [], entries = [] } = states[choice?.state ?? 0] ?? {};
  const compress = matrices.flatMap((matrix, layer) => {
    const entry = entries[layer]?.[choice?.options[layer] ?? 0];
    return entry === undefined
      ? []
      : tensorIds(matrix).map((tensor) => ({ tensor, ...entryCompression(entry) }));
  });
  return {
    remove: changes.flatMap(({ sublayer, width }) =>
      width === undefined
        ? [sublayer]
        : width.of === 'experts'
          ? (parseRanges(width.remove) ?? []).map((expert) => `${sublayer}.${expert}`)
          : [],
    ),
    widths: changes.flatMap(({ sublayer, width }) =>
      width === undefined || width.of === 'experts' ? [] : [{ sublayer, remove: width.remove }],
    ),
    compress,
  };
}

/** Ids of the matrix and its tied head. */
function tensorIds(matrix: LayerSensitivity | EmbeddingOrHeadSensitivity): string[] {
  const { tensor } = matrix;
  return 'tiedTo' in matrix ? [tensor, matrix.tiedTo] : [tensor];
}

function entryCompression({
  method,
  setting,
  variant,
  then,
  sites,
}: SensitivityEntry): Omit<CompressionChoice, 'tensor'> {
  return {
    method,
    setting,
    ...(variant === undefined ? {} : { variant }),
    ...(then === undefined ? {} : { then }),
    ...(sites === undefined ? {} : { sites }),
  };
}
