import { totals } from './budget-problem';
import type { BudgetPart, BudgetProblem, Costs, LayerOption, PartChoice } from './budget-problem';

/** Halvings of a price: it is then known to some ten digits. */
const halvings = 32;
const defaultRounds = 3;
/** Prices are raised by this until they are high enough. */
const raise = 4;
const raises = 60;

/**
 * A choice within the limits that is near the best, in time linear in the options: costs get prices, every part
 * is chosen by loss + prices · costs alone, and the lowest prices that keep the limits are found by bisection
 * (Lagrangian relaxation). Undefined if none do.
 * @param rounds times that the prices of several limits are set one after the other, each with the others as they are
 */
export function relaxedChoice(
  problem: BudgetProblem,
  rounds = defaultRounds,
): readonly PartChoice[] | undefined {
  const { limits } = problem;
  // Prices are of a whole limit, so that the halvings are of the size of losses whatever costs count.
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
  // All at once, so that what is left over by one limit cannot break another.
  const direction = prices.some((price) => price > 0) ? prices : limits.map(() => 1);
  const along = (factor: number): readonly PartChoice[] =>
    cheapestFor(direction.map((price) => price * factor));
  const factor = lowest((one) => isKept(along(one)));
  return factor === undefined ? undefined : along(factor);
}

/** The lowest price, from 0, that a test is true of; undefined where none is. */
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

/** The choice of least loss and priced costs. */
function cheapestAt({ parts }: BudgetProblem, prices: Costs): readonly PartChoice[] {
  return parts.map((part) => cheapestOf(part, prices));
}

function cheapestOf({ states }: BudgetPart, prices: Costs): PartChoice {
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

/** Loss and priced costs; a loop, since a search asks millions of times. */
function pricedAt(option: LayerOption | undefined, prices: Costs): number {
  let sum = option?.loss ?? 0;
  for (let i = 0; i < prices.length; i++) {
    sum += (option?.costs[i] ?? 0) * (prices[i] ?? 0);
  }
  return sum;
}
