import type { JobContext } from '../../jobs/job';
import { chooseWritable } from './choose-writable';
import type { RefusePlan } from './choose-writable';
import { leastLimit } from './budget-problem';
import { formatAmount, isTimeUnit } from './budget-limits';
import type { BudgetLimit } from './budget-limits';
import { toPlan, limitTooLow } from './plan-under-budget';
import type { CompressionPlan, LimitKept, PlannedProblem, PlannedPart } from './plan-under-budget';
import type { PlanMeasurement } from './plan-measurer';
import { UserError } from '../../user-error';
import { say } from '../../message';
import { median } from '../../statistics';
import type { BudgetPart, BudgetSolution, PartChoice, PartState } from './budget-problem';
import { removedSublayers } from './part-states';
import type { PlannedState } from './part-states';

/** Plan that was measured as a whole. */
export interface RefinedPlan extends CompressionPlan {
  /** Distance of the model with all changes to the original. */
  readonly distance: number;
  /** Distances of all tried plans; the first is the plan from the profile alone. */
  readonly tried: readonly number[];
}

/** Note in a plan under a budget: its measured or predicted quality. */
export function planNote(
  {
    distance,
    tried = [],
    sumOfDistances,
    byImportance,
  }: Pick<CompressionPlan, 'sumOfDistances' | 'byImportance'> &
    Partial<Pick<RefinedPlan, 'distance' | 'tried'>>,
  limits: readonly BudgetLimit[],
  metric: string,
): string {
  const said = limits.map((limit) =>
    'ratio' in limit
      ? `${limit.ratio} of ${limit.unit}`
      : `${limit.unit} of at most ${formatAmount(limit.unit, limit.most)}`,
  );
  const found =
    distance === undefined
      ? `sum of ${metric} ${sumOfDistances.toPrecision(4)}, not measured`
      : `${metric} ${distance.toPrecision(4)}, ${tried.length === 1 ? 'one plan measured' : `best of ${tried.length} plans measured`}`;
  const how = byImportance === true ? ', by importance: apply with --imatrix' : '';
  return `budget ${said.join(', ')}, ${found}${how}`;
}

export type MeasurePlan = (plan: CompressionPlan, inTurn: boolean) => Promise<PlanMeasurement>;

interface RefineOptions {
  readonly deadline?: number | undefined;
  readonly refuse?: RefusePlan | undefined;
}

/** Range of the factor between a change's effect together with others and its effect alone. */
const [leastFactor, mostFactor] = [0.1, 10] as const;

/** Kinds of states whose changes are assumed to have similar factors. */
type Kind = 'gone' | 'width-pruned' | 'whole';

/** Factors between the effects of a part's state and layers together with other changes and alone. */
interface Factors {
  readonly kind: Kind;
  readonly state: number | undefined;
  /** By id of the layer. */
  readonly layers: ReadonlyMap<string, number>;
}

/**
 * Replaces the losses of chosen changes by those measured together with the others. Other changes get the median factor
 * of their kind. Kinds without a chosen change keep the profile's losses, so that later plans try them.
 */
function reweighLosses(
  problem: PlannedProblem,
  { parts: choices }: BudgetSolution,
  { distance, without }: PlanMeasurement,
): PlannedProblem {
  const measuredFactor = (ids: readonly string[], loss: number): number | undefined => {
    const others = ids.flatMap((id) => without.get(id) ?? []);
    const effect = others.reduce((sum, other) => sum + distance - other, 0);
    return others.length < ids.length || loss <= 0
      ? undefined
      : Math.min(mostFactor, Math.max(leastFactor, effect / loss));
  };
  const factors = problem.planned.map((part, i) =>
    partFactors(part, problem.parts[i], choices[i], measuredFactor),
  );
  const medianFactor = (kind: Kind): number => {
    const own = factors.filter((one) => one.kind === kind);
    const known = own.flatMap(({ state, layers }) =>
      [state, ...layers.values()].flatMap((one) => one ?? []),
    );
    return known.length === 0 ? 1 : median(known);
  };
  const medians = {
    gone: medianFactor('gone'),
    'width-pruned': medianFactor('width-pruned'),
    whole: medianFactor('whole'),
  };
  const parts = problem.parts.map(({ states }, i): BudgetPart => {
    const own = factors[i];
    const chosen = choices[i]?.state ?? 0;
    return {
      states: states.map((state, index): PartState => {
        const planned = problem.planned[i]?.states[index];
        const kind = stateKind(planned);
        const stateFactor = (own?.kind === kind ? own.state : undefined) ?? medians[kind];
        return {
          ...state,
          loss: state.loss * stateFactor,
          layers: state.layers.map((options, layer) => {
            const known = own?.layers.get(planned?.matrices[layer]?.tensor ?? '');
            const factor = known ?? (index === chosen ? stateFactor : medians.whole);
            return options.map((option) => ({ ...option, loss: option.loss * factor }));
          }),
        };
      }),
    };
  });
  return { ...problem, parts };
}

function stateKind(planned: PlannedState | undefined): Kind {
  if (planned === undefined || planned.changes.length === 0) {
    return 'whole';
  }
  return removedSublayers(planned).length > 0 ? 'gone' : 'width-pruned';
}

/** Factors of a part. A width-pruned or removed sublayer is restored as a whole, so its layers share one factor. */
function partFactors(
  { states }: PlannedPart,
  part: BudgetPart | undefined,
  choice: PartChoice | undefined,
  measuredFactor: (ids: readonly string[], loss: number) => number | undefined,
): Factors {
  const index = choice?.state ?? 0;
  const state = part?.states[index];
  const { changes = [], matrices = [] } = states[index] ?? {};
  const changed = new Set(changes.map(({ sublayer }) => sublayer));
  const layers = matrices.map((matrix, layer) => ({
    tensor: matrix.tensor,
    isShared: 'sublayer' in matrix && changed.has(matrix.sublayer),
    loss: state?.layers[layer]?.[choice?.options[layer] ?? 0]?.loss ?? 0,
  }));
  const shared = layers.reduce((sum, { isShared, loss }) => sum + (isShared ? loss : 0), 0);
  return {
    kind: stateKind(states[index]),
    state:
      changed.size === 0 ? undefined : measuredFactor([...changed], (state?.loss ?? 0) + shared),
    layers: new Map(
      layers.flatMap(({ tensor, isShared, loss }) => {
        const factor = isShared ? undefined : measuredFactor([tensor], loss);
        return factor === undefined ? [] : [[tensor, factor] as const];
      }),
    ),
  };
}

/**
 * Refines a choice under a budget by measuring plans. After each choice, every change is undone in turn in the model
 * with all others; the change's losses in the profile are scaled by the measured effect, and the choice is made again.
 * If plans are timed, limits in milliseconds are corrected by the ratio of measured to planned times, and a few more
 * plans are timed if the best one leaves much of its limit unused. Returns the best measured plan.
 * @param options.deadline time by `performance.now()` after which no other plan is measured; one that would likely end
 * later is not started
 * @param options.refuse explains why a plan can't be written; removals are dropped from the choice until it can
 * @throws UserError if limits can't be met, or the refusal of a plan without removals
 */
export async function refinePlan(
  problem: PlannedProblem,
  measure: MeasurePlan,
  rounds: number,
  context: Pick<JobContext, 'progress' | 'warn'>,
  { deadline = Number.POSITIVE_INFINITY, refuse }: RefineOptions = {},
): Promise<RefinedPlan> {
  let current: PlannedProblem = problem;
  const costs = problem.limits.map((): TimedCost[] => []);
  let best: MeasuredChoice | undefined;
  const tried: number[] = [];
  const seen = new Set<string>();
  let isSettled = false;
  for (let round = 0; round <= rounds || mayTimeMore(round, rounds, best); round++) {
    context.progress({
      stage: say`Choosing under the budget`,
      done: round,
      total: Math.max(rounds, round) + 1,
      unit: 'steps',
    });
    const chosen = await chooseWritable(current, refuse).catch((error: unknown) => {
      // Corrected limits may be impossible to meet, even though the original ones were met.
      if (best !== undefined && error instanceof UserError) {
        return undefined;
      }
      throw error;
    });
    if (chosen === undefined) {
      break;
    }
    const { solution } = chosen;
    current = chosen.problem;
    const key = JSON.stringify(solution.parts);
    if (seen.has(key)) {
      isSettled = true;
      break;
    }
    seen.add(key);
    const plan = toPlan(problem, solution);
    const started = performance.now();
    const measured = await measure(plan, round < rounds && started < deadline);
    const ended = performance.now();
    tried.push(measured.distance);
    const found = timed(plan, measured);
    best = best === undefined || isBetter(found, best) ? found : best;
    plan.limits.forEach((limit, i) => {
      const own = found.plan.limits[i];
      if (own !== undefined && own !== limit) {
        costs[i]?.push({ planned: limit.cost, found: own.cost });
      }
    });
    current = retimed(reweighLosses(current, solution, measured), plan, costs);
    if (ended + (ended - started) > deadline) {
      break;
    }
  }
  const { plan, distance } = best ?? noPlan();
  plan.limits.forEach((limit, i) => {
    const { unit, cost, most } = limit;
    if (cost <= tolerance * most) {
      return;
    }
    const given = problem.budget.limits[i];
    if (given !== undefined && isSettled && isLeast(current, i)) {
      throw limitTooLow(given, cost, most);
    }
    context.warn(
      say`The plan takes ${formatAmount(unit, cost)} (${unit}), above the limit of ${formatAmount(unit, most)}: no plan was found that meets it.`,
    );
  });
  return { ...plan, distance, tried };
}

/** Tolerance of limits in milliseconds, about the accuracy of the measurement. */
const tolerance = 1.02;
/** Used share of a time limit below which a better plan is likely. */
const nearly = 0.9;
/** Number of additional plans that are timed for that. */
const furtherPlans = 3;

/**
 * True if more plans should be timed after the last round: refinement is on, and the best plan is far from its limit.
 */
function mayTimeMore(round: number, rounds: number, best: MeasuredChoice | undefined): boolean {
  const timed = best?.plan.limits.filter(({ unit }) => isTimeUnit(unit)) ?? [];
  const used = Math.max(...timed.map(({ cost, most }) => cost / most));
  const isFar = timed.length > 0 && (used < nearly || used > tolerance);
  return isFar && rounds > 0 && round <= rounds + furtherPlans;
}

/** Plan with its measured milliseconds, if available. */
interface MeasuredChoice {
  readonly plan: CompressionPlan;
  readonly distance: number;
}

function timed(plan: CompressionPlan, { distance, times }: PlanMeasurement): MeasuredChoice {
  const limits = plan.limits.map((limit): LimitKept => {
    const share = isTimeUnit(limit.unit) ? times?.[`${limit.unit}MsPerToken`] : undefined;
    return share === undefined ? limit : { ...limit, cost: share * limit.before };
  });
  return { plan: { ...plan, limits, cost: limits[0]?.cost ?? plan.cost }, distance };
}

/** True if a plan is better: within the limits and closer to the original, otherwise less above the limits. */
function isBetter(one: MeasuredChoice, other: MeasuredChoice): boolean {
  const [own, others] = [one, other].map(({ plan: { limits } }) =>
    Math.max(tolerance, ...limits.map(({ cost, most }) => cost / most)),
  );
  return own === others ? one.distance < other.distance : (own ?? 0) < (others ?? 0);
}

/** The problem with limits in milliseconds corrected by measured times. */
function retimed(
  problem: PlannedProblem,
  { limits: kept }: CompressionPlan,
  costs: readonly (readonly TimedCost[])[],
): PlannedProblem {
  const limits = problem.limits.map((limit, i) => {
    const [own = [], asked] = [costs[i], kept[i]];
    return own.length === 0 || asked === undefined
      ? limit
      : Math.max(nextTarget(asked, own) - (problem.fixed[i] ?? 0), leastLimit(problem, i));
  });
  return { ...problem, limits };
}

/** True if no plan is known to have a lower cost. */
const isLeast = (problem: PlannedProblem, limit: number): boolean =>
  (problem.limits[limit] ?? 0) <= leastLimit(problem, limit);

function noPlan(): never {
  throw new Error('no plan has been measured');
}

/** Planned and measured cost of a plan. */
interface TimedCost {
  readonly planned: number;
  readonly found: number;
}

/** Range of the next planned saving relative to the last one, since a single time may be inaccurate. */
const [leastStep, mostStep] = [0.5, 2] as const;

/**
 * Cost to plan for next, so that the measured cost meets the limit: interpolated between the nearest plans on both
 * sides of it, otherwise in proportion to the saving of the last plan.
 */
function nextTarget(
  { before, most }: Pick<LimitKept, 'before' | 'most'>,
  costs: readonly TimedCost[],
): number {
  const [under, over] = [
    nearest(costs.filter(({ found }) => found <= most).map((one) => [most - one.found, one])),
    nearest(costs.filter(({ found }) => found > most).map((one) => [one.found - most, one])),
  ];
  if (under !== undefined && over !== undefined) {
    const part = (most - under.found) / (over.found - under.found);
    return under.planned + part * (over.planned - under.planned);
  }
  const last = costs.at(-1);
  if (last === undefined) {
    return most;
  }
  const planned = before - last.planned;
  const saved = Math.max(before - last.found, Number.EPSILON);
  const toSave = ((before - most) * planned) / saved;
  return before - Math.min(mostStep * planned, Math.max(leastStep * planned, toSave));
}

function nearest(
  costs: readonly (readonly [distance: number, cost: TimedCost])[],
): TimedCost | undefined {
  return [...costs].sort(([one], [other]) => one - other)[0]?.[1];
}
