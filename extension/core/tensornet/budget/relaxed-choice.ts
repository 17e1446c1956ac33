import { totals } from './budget-problem';
import type { BudgetPart, BudgetProblem, Costs, LayerOption, PartChoice } from './budget-problem';

/** Halvings of a price: it is then known to some ten digits. */
const halvings = 32;
/** Times that prices are set one after the other, each with the others as they are. */
const rounds = 3;
/** Prices are raised by this until they are high enough. */
const raise = 4;
const raises = 60;

/**
 * A choice within the limits that is near the best, in time linear in the options: costs get prices, every part
 * is chosen by loss + prices · costs alone, and the lowest prices that keep the limits are found by bisection
 * (Lagrangian relaxation). Undefined if none do.
 */
export function relaxedChoice(problem: BudgetProblem): readonly PartChoice[] | undefined {
  const { limits } = problem;
  const isKept = (choice: readonly PartChoice[], limit?: number): boolean =>
    totals(problem, choice).costs.every(
      (cost, i) => (limit !== undefined && limit !== i) || cost <= (limits[i] ?? 0),
    );
  const prices: number[] = limits.map(() => 0);
  if (limits.length > 1) {
    for (let round = 0; round < rounds; round++) {
      for (const i of limits.keys()) {
        const at = (price: number): Costs => prices.with(i, price);
        const price = lowest((one) => isKept(cheapestAt(problem, at(one)), i));
        prices[i] = price ?? prices[i] ?? 0;
      }
    }
  }
  // All at once, so that what is left over by one limit cannot break another.
  const direction = prices.some((price) => price > 0) ? prices : limits.map(() => 1);
  const along = (factor: number): readonly PartChoice[] =>
    cheapestAt(
      problem,
      direction.map((price) => price * factor),
    );
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
  const priced = ({ costs, loss }: LayerOption): number =>
    costs.reduce((sum, cost, i) => sum + cost * (prices[i] ?? 0), loss);
  let best: PartChoice = { state: 0, options: [] };
  let least = Number.POSITIVE_INFINITY;
  for (const [state, one] of states.entries()) {
    let sum = priced(one);
    const options = one.layers.map((layer) => {
      let [index, lowestPriced] = [0, Number.POSITIVE_INFINITY];
      for (const [i, option] of layer.entries()) {
        const value = priced(option);
        if (value < lowestPriced) {
          [index, lowestPriced] = [i, value];
        }
      }
      sum += lowestPriced;
      return index;
    });
    if (sum < least) {
      least = sum;
      best = { state, options };
    }
  }
  return best;
}
