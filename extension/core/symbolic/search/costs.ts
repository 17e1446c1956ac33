import type { Nonterminal, Production } from './grammar';

/** Resolution of costs, so that sums are exact and equal sums are one cost. */
const unitsPerNat = 2 ** 40;

/** Cost of a symbol: −log-weight in units, at least 1, so that programs grow with their cost. */
export function weightCost(logWeight: number): number {
  return Math.max(1, Math.round(-logWeight * unitsPerNat));
}

function productionCost(
  costs: readonly number[],
  { entry, args }: Production,
  except = -1,
): number {
  return args.reduce(
    (sum, argument, position) => (position === except ? sum : sum + (costs[argument] ?? Infinity)),
    weightCost(entry.logWeight),
  );
}

/** Cost of the cheapest program of every nonterminal; infinite if there is none. */
function cheapestCosts(grammar: readonly Nonterminal[]): readonly number[] {
  const costs = grammar.map(() => Infinity);
  return untilStable(costs, (lower) => {
    grammar.forEach(({ productions }, index) => {
      for (const production of productions) {
        lower(index, productionCost(costs, production));
      }
    });
  });
}

/**
 * Minimum cost of the rest of a whole program around a program of every nonterminal. A program of cost c is needed only
 * for whole programs of at least c plus this cost.
 */
export function computeLeads(grammar: readonly Nonterminal[]): readonly number[] {
  const cheapest = cheapestCosts(grammar);
  const leads = grammar.map((_, index) => (index === 0 ? 0 : Infinity));
  return untilStable(leads, (lower) => {
    grammar.forEach(({ productions }, index) => {
      for (const production of productions) {
        production.args.forEach((argument, position) => {
          lower(
            argument,
            (leads[index] ?? Infinity) + productionCost(cheapest, production, position),
          );
        });
      }
    });
  });
}

/** Lowers the costs until nothing changes; terminates because every symbol has a positive cost. */
function untilStable(
  costs: number[],
  round: (lower: (index: number, cost: number) => void) => void,
): readonly number[] {
  let changed = true;
  const lower = (index: number, cost: number): void => {
    if (cost < (costs[index] ?? Infinity)) {
      costs[index] = cost;
      changed = true;
    }
  };
  while (changed) {
    changed = false;
    round(lower);
  }
  return costs;
}
