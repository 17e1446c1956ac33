import type { Nonterminal, Production } from './grammar';

/** Costs are counted in this part of a nat, so that sums are exact: two equal sums are one cost. */
const unitsPerNat = 2 ** 40;

/** What a symbol of this log-weight costs: −log-weight in units, at least 1, so that programs grow with their cost. */
export function costOf(logWeight: number): number {
  return Math.max(1, Math.round(-logWeight * unitsPerNat));
}

function sumOf(costs: readonly number[], { entry, args }: Production, except = -1): number {
  return args.reduce(
    (sum, argument, position) => (position === except ? sum : sum + (costs[argument] ?? Infinity)),
    costOf(entry.logWeight),
  );
}

/** The cost of the cheapest program of every nonterminal; infinite where there is none. */
function cheapestCosts(grammar: readonly Nonterminal[]): readonly number[] {
  const costs = grammar.map(() => Infinity);
  return untilStable(costs, (lower) => {
    grammar.forEach(({ productions }, index) => {
      for (const production of productions) {
        lower(index, sumOf(costs, production));
      }
    });
  });
}

/**
 * The least that the rest of a whole program costs around a program of every nonterminal. A program of cost c is not
 * needed before whole programs of cost c + this.
 */
export function leadsOf(grammar: readonly Nonterminal[]): readonly number[] {
  const cheapest = cheapestCosts(grammar);
  const leads = grammar.map((_, index) => (index === 0 ? 0 : Infinity));
  return untilStable(leads, (lower) => {
    grammar.forEach(({ productions }, index) => {
      for (const production of productions) {
        production.args.forEach((argument, position) => {
          lower(argument, (leads[index] ?? Infinity) + sumOf(cheapest, production, position));
        });
      }
    });
  });
}

/** Lowers the costs until nothing changes; that ends, as every symbol costs something. */
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
