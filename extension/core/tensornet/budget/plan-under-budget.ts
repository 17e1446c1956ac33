import { memoryContext } from '../../quality-labels';
import type { WritableType } from '../../checkpoints/ggml-types';
import { parseRanges } from '../../models/width-pruning/number-ranges';
import type { PlannedWidthPruning } from '../../models/width-pruning/planned-width-pruning';
import { UserError } from '../../user-error';
import { levelType } from '../compression-choice';
import type { CompressionChoice } from '../compression-choice';
import { resolveVariant } from '../compression-methods';
import { byImportance } from '../gguf-types';
import { withFileSizes, findGgufFacts } from '../sensitivity/gguf-facts';
import type {
  GgufFacts,
  LayerSensitivity,
  MatrixSensitivity,
  EmbeddingOrHeadSensitivity,
  SensitivityEntry,
  SensitivityProfile,
  WidthEntry,
  WidthSensitivity,
} from '../sensitivity/sensitivity-profile';
import {
  cacheCost,
  unitCosts,
  formatAmount,
  isShare,
  isTimeUnit,
  maxCost,
  wholeCost,
} from './budget-limits';
import type { Budget, BudgetLimit, BudgetUnit } from './budget-limits';
import {
  remainingExpertShare,
  widthPruningOptions,
  restCost,
  expertRestCost,
  remainingShare,
  optionsWithoutExperts,
  totalCost,
} from './remaining-costs';
import type { RemainingCost, OfferedEntries } from './remaining-costs';
import { chooseOptions } from './choose-options';
import { timesFromRuns } from './timed-by-runs';
import { leastCost, slack, totals, undominated } from './budget-problem';
import type { BudgetProblem, BudgetSolution, Costs, PartChoice, PartState } from './budget-problem';
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

/** Meaning of a part's state. */
export interface PlannedState {
  /** Width of the part if it is width-pruned. */
  readonly width?: WidthEntry & Pick<WidthSensitivity, 'of'>;
  readonly isGone?: true;
  readonly entries: OfferedEntries;
}

/** Sublayer, embedding or head. */
export interface PlannedPart {
  /** Id of the sublayer; undefined for embedding and head. */
  readonly sublayer: string | undefined;
  readonly matrices: readonly (LayerSensitivity | EmbeddingOrHeadSensitivity)[];
  /** States, in the order of the problem's. */
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
  const gguf = findGgufFacts(table, removable.length > 0);
  const counted = gguf === undefined ? table : withFileSizes(table, gguf);
  const { model, embeddingAndHead = [], widths = [], original } = counted;
  const { layers, besides, rest: restOf } = timesFromRuns(counted);
  const units = limits.map(({ unit }) => unit);
  // Distances by perplexity start at the original's perplexity.
  const excessDistance = ({ distance }: { readonly distance: number }): number =>
    Math.max(0, distance - original);
  const whole = (matrices: readonly MatrixSensitivity[]): OfferedEntries =>
    matrices.map(({ entries }) => [undefined, ...entries]);
  /** Options without those that are dominated by another one. */
  const offered = (
    matrices: readonly (LayerSensitivity | EmbeddingOrHeadSensitivity)[],
    entries: OfferedEntries,
    left?: RemainingCost,
  ): Pick<PlannedState, 'entries'> & Pick<PartState, 'layers'> => {
    const undominatedOptions = matrices.map((matrix, i) => {
      const all = (entries[i] ?? []).map((entry) => ({
        entry,
        costs: units.map(
          (unit) =>
            unitCosts[unit](entry ?? matrix) * (left === undefined ? 1 : left(unit, matrix, entry)),
        ),
        loss: entry === undefined ? 0 : excessDistance(entry),
      }));
      const best = new Set(undominated(all));
      // The first option is always the unchanged layer.
      return all.filter((_, index) => index === 0 || best.has(index));
    });
    return {
      entries: undominatedOptions.map((options) => options.map(({ entry }) => entry)),
      layers: undominatedOptions.map((options) =>
        options.map(({ costs, loss }) => ({ costs, loss })),
      ),
    };
  };
  const parts: { readonly planned: PlannedPart; readonly states: readonly PartState[] }[] = [];
  for (const sublayer of model.sublayers) {
    const matrices = layers.filter((layer) => layer.sublayer === sublayer.id);
    const width = widths.find((one) => one.sublayer === sublayer.id);
    const removal = removable.find((one) => one.sublayer === sublayer.id);
    const rest = (share: number, gone = 0): Costs =>
      units.map(
        (unit) =>
          restCost(unit, sublayer, matrices) +
          besides(unit, sublayer, share) -
          gone * expertRestCost(unit, sublayer, matrices) +
          share * cacheCost(unit, sublayer, context),
      );
    const states: { readonly planned: PlannedState; readonly state: PartState }[] = [];
    const { entries, layers: options } = offered(matrices, whole(matrices));
    states.push({
      planned: { entries },
      state: { costs: rest(1), loss: 0, layers: options },
    });
    for (const entry of width?.entries ?? []) {
      const { of, count } = width ?? { of: 'channels', count: entry.kept };
      const share = { kept: entry.kept, count };
      const without = new Set(of === 'experts' ? parseRanges(entry.remove) : []);
      const left =
        of === 'experts'
          ? offered(
              matrices,
              optionsWithoutExperts(matrices, without),
              remainingExpertShare(without, share),
            )
          : offered(matrices, widthPruningOptions(matrices), (_, ...made) =>
              remainingShare(share, ...made),
            );
      states.push({
        planned: { width: { of, ...entry }, entries: left.entries },
        state: {
          costs: rest(of === 'experts' ? 1 : share.kept / count, without.size),
          loss: excessDistance(entry),
          layers: left.layers,
        },
      });
    }
    if (removal !== undefined) {
      states.push({
        planned: { isGone: true, entries: [] },
        state: { costs: units.map(() => 0), loss: excessDistance(removal), layers: [] },
      });
    }
    parts.push({
      planned: { sublayer: sublayer.id, matrices, states: states.map(({ planned }) => planned) },
      states: states.map(({ state }) => state),
    });
  }
  for (const matrix of embeddingAndHead) {
    const { entries, layers: options } = offered([matrix], whole([matrix]));
    parts.push({
      planned: { sublayer: undefined, matrices: [matrix], states: [{ entries }] },
      states: [{ costs: units.map(() => 0), loss: 0, layers: options }],
    });
  }
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
  const problem = { parts: parts.map(({ states }) => ({ states })), limits: before };
  const listed = totals(problem, unchanged).costs;
  const fixed = before.map((cost, i) => cost - (listed[i] ?? 0));
  const left = limits.map((limit, i) => {
    const most = maxCost(limit, before[i] ?? 0);
    if (isTimeUnit(limit.unit)) {
      requireTimes(limit, before[i] ?? 0, table);
    }
    const least = leastCost(problem.parts, i);
    const own = fixed[i] ?? 0;
    if (own + least > most && !(isTimed && isTimeUnit(limit.unit))) {
      throw tooLow(limit, own + least, most);
    }
    return Math.max(slack * least, most - own);
  });
  return {
    parts: problem.parts,
    planned: parts.map(({ planned }) => planned),
    limits: left,
    ...{ fixed, before, budget, gguf },
  };
}

function requireShare(limit: BudgetLimit): void {
  if ('ratio' in limit && !isShare(limit.ratio)) {
    throw new UserError(
      'share-invalid',
      say`${limit.ratio} is not a share of the model above 0 and below 1.`,
      {
        field: limit.field ?? 'budget',
        remedy: say`Write 0.5 for half of it.`,
      },
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
      {
        field: limit.field ?? 'unit',
        remedy: say`Count bytes, parameters or flops.`,
      },
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
export function tooLow({ unit, field }: BudgetLimit, least: number, most: number): UserError {
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
  const isByImportance = taken.some(
    (one, i) =>
      planned[i]?.sublayer !== undefined &&
      one.compress.some((choice) => resolveVariant(choice, true) === byImportance),
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
    choices.flatMap(({ tensor, level }) =>
      Object.keys(tensors[tensor] ?? {}).map((name) => [name, levelType(level)] as const),
    ),
  );
}

/** Changes that a choice makes to a part. */
function partChanges(
  { sublayer, matrices, states }: PlannedPart,
  choice: PartChoice | undefined,
): Pick<CompressionPlan, 'remove' | 'widths' | 'compress'> {
  const state = states[choice?.state ?? 0];
  const isGone = state?.isGone === true;
  const compress = matrices.flatMap((matrix, layer) => {
    const entry = state?.entries[layer]?.[choice?.options[layer] ?? 0];
    return entry === undefined
      ? []
      : tensorIds(matrix).map((tensor) => ({ tensor, ...entryCompression(entry) }));
  });
  const less = state?.width;
  if (less === undefined || sublayer === undefined) {
    return { remove: isGone && sublayer !== undefined ? [sublayer] : [], widths: [], compress };
  }
  return less.of === 'experts'
    ? {
        remove: (parseRanges(less.remove) ?? []).map((expert) => `${sublayer}.${expert}`),
        widths: [],
        compress,
      }
    : { remove: [], widths: [{ sublayer, remove: less.remove }], compress };
}

/** Ids of the matrix and its tied head. */
function tensorIds(matrix: LayerSensitivity | EmbeddingOrHeadSensitivity): string[] {
  const { tensor } = matrix;
  return 'tiedTo' in matrix ? [tensor, matrix.tiedTo] : [tensor];
}

function entryCompression({
  method,
  level,
  variant,
  then,
  sites,
}: SensitivityEntry): Omit<CompressionChoice, 'tensor'> {
  return {
    method,
    level,
    ...(variant === undefined ? {} : { variant }),
    ...(then === undefined ? {} : { then }),
    ...(sites === undefined ? {} : { sites }),
  };
}
