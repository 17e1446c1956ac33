import { eachAlternative, totals } from './budget-problem';
import type { BudgetPart, BudgetProblem, Costs, LayerOption, PartChoice } from './budget-problem';

/** Bisection steps of a price, for about ten digits. */
const halvings = 32;
const defaultRounds = 3;
/** Factor by which prices are raised until they are high enough. */
const raise = 4;
const raises = 60;

/**
 * Near-optimal choice within the limits, in time linear in the number of options (Lagrangian relaxation): every part
 * minimizes loss + prices · costs, and bisection finds the lowest prices that meet the limits. Undefined if no prices
 * do.
 * @param rounds passes over the prices of several limits, each set with the others fixed
 */
export function relaxedChoice(
  problem: BudgetProblem,
  rounds = defaultRounds,
): readonly PartChoice[] | undefined {
  const [best] = eachAlternative(problem)
    .flatMap(({ parts, choice }) => {
      const found = relaxedStates({ parts, limits: problem.limits }, rounds);
      return found === undefined ? [] : [choice(found)];
    })
    .map((choice) => ({ choice, ...totals(problem, choice) }))
    .sort((a, b) => a.loss - b.loss);
  return best?.choice;
}

/** Like {@link relaxedChoice}, if all states are allowed. */
function relaxedStates(problem: BudgetProblem, rounds: number): readonly PartChoice[] | undefined {
  const { limits } = problem;
  // Prices are relative to the limits, so that bisection works for any unit.
  const units = limits.map((limit) => (limit > 0 && Number.isFinite(limit) ? limit : 1));
  const cheapestFor = (prices: Costs): readonly PartChoice[] =>
    cheapestAt(
      problem,
      prices.map((price, i) => price / (units[i] ?? 1)),
    );
  const isKept = (choice: readonly PartChoice[], limit?: number): boolean =>
    totals(problem, choice).costs.every(
      (cost, i) => (limit !== undefined && limit !== i) || cost <= (limits[i] ?? 0),
    );
  const prices: number[] = limits.map(() => 0);
  if (limits.length > 1) {
    for (let round = 0; round < rounds; round++) {
      for (const i of limits.keys()) {
        const at = (price: number): Costs => prices.with(i, price);
        const price = lowest((one) => isKept(cheapestFor(at(one)), i));
        prices[i] = price ?? prices[i] ?? 0;
      }
    }
  }
  // All prices together, so that slack in one limit can't break another.
  const direction = prices.some((price) => price > 0) ? prices : limits.map(() => 1);
  const along = (factor: number): readonly PartChoice[] =>
    cheapestFor(direction.map((price) => price * factor));
  const factor = lowest((one) => isKept(along(one)));
  return factor === undefined ? undefined : along(factor);
}

/** Lowest price, from 0, that satisfies a test; undefined if there is none. */
function lowest(holds: (price: number) => boolean): number | undefined {
  if (holds(0)) {
    return 0;
  }
  let [low, high] = [0, 1];
  let raised = 0;
  while (!holds(high)) {
    if (++raised > raises) {
      return undefined;
    }
    [low, high] = [high, high * raise];
  }
  for (let i = 0; i < halvings; i++) {
    const middle = (low + high) / 2;
    if (holds(middle)) {
      high = middle;
    } else {
      low = middle;
    }
  }
  return high;
}

/** Choice that minimizes loss and priced costs. */
function cheapestAt({ parts }: BudgetProblem, prices: Costs): readonly PartChoice[] {
  return parts.map((part) => cheapestChoice(part, prices));
}

function cheapestChoice({ states }: BudgetPart, prices: Costs): PartChoice {
  let best: PartChoice = { state: 0, options: [] };
  let least = Number.POSITIVE_INFINITY;
  for (const [state, one] of states.entries()) {
    let sum = pricedAt(one, prices);
    const options: number[] = [];
    for (const layer of one.layers) {
      let [index, lowestPriced] = [0, Number.POSITIVE_INFINITY];
      for (let i = 0; i < layer.length; i++) {
        const value = pricedAt(layer[i], prices);
        if (value < lowestPriced) {
          index = i;
          lowestPriced = value;
        }
      }
      sum += lowestPriced;
      options.push(index);
    }
    if (sum < least) {
      least = sum;
      best = { state, options };
    }
  }
  return best;
}

/** Loss and priced costs. Written as a loop, because a search evaluates it millions of times. */
function pricedAt(option: LayerOption | undefined, prices: Costs): number {
  let sum = option?.loss ?? 0;
  for (let i = 0; i < prices.length; i++) {
    sum += (option?.costs[i] ?? 0) * (prices[i] ?? 0);
  }
  return sum;
}
