import type { BudgetSolution, BudgetProblem } from './budget-problem';

type Choice = Pick<BudgetSolution, 'options' | 'removed'>;

/** Halvings of the price: it is then known to all digits of a double. */
const halvings = 60;

/**
 * A choice within the budget that is near the best, in time linear in the options: costs get a price, every
 * layer and sublayer is chosen by loss + price · cost alone, and the lowest price that keeps the budget is
 * found by bisection (Lagrangian relaxation). Undefined if no price keeps it.
 */
export function relaxedChoice(problem: BudgetProblem): Choice | undefined {
  let low = 0;
  let high = 1;
  let kept = within(problem, high);
  for (let i = 0; kept === undefined && i < halvings; i++) {
    low = high;
    high *= 4;
    kept = within(problem, high);
  }
  if (kept === undefined) {
    return undefined;
  }
  for (let i = 0; i < halvings; i++) {
    const price = (low + high) / 2;
    const choice = within(problem, price);
    if (choice === undefined) {
      low = price;
    } else {
      [high, kept] = [price, choice];
    }
  }
  return kept;
}

/** The choice at a price, if it keeps the budget. */
function within({ layers, sublayers, budget }: BudgetProblem, price: number): Choice | undefined {
  const taken = layers.map(({ options }) => {
    const priced = options.map(({ loss, cost }) => loss + price * cost);
    const index = priced.indexOf(Math.min(...priced));
    return { index, priced: priced[index] ?? 0, cost: options[index]?.cost ?? 0 };
  });
  const removed = sublayers.flatMap(({ loss, cost }, sublayer) => {
    const stays = layers.reduce(
      (sum, layer, i) => sum + (layer.sublayer === sublayer ? (taken[i]?.priced ?? 0) : 0),
      price * cost,
    );
    return loss < stays ? [sublayer] : [];
  });
  const isGone = (sublayer: number | undefined): boolean =>
    sublayer !== undefined && removed.includes(sublayer);
  const options = layers.map(({ sublayer }, i) => (isGone(sublayer) ? undefined : taken[i]?.index));
  const costs = [
    ...layers.map(({ sublayer }, i) => (isGone(sublayer) ? 0 : (taken[i]?.cost ?? 0))),
    ...sublayers.map(({ cost }, i) => (isGone(i) ? 0 : cost)),
  ];
  return costs.reduce((sum, cost) => sum + cost, 0) <= budget ? { options, removed } : undefined;
}
