import type { Library, LibraryEntry } from '../language/library';
import { functionType, parameterTypes, printType, programType } from '../language/primitives';
import type { Type } from '../language/primitives';

/** Production of a program of a type: an entry applied to programs of its first parameters' types. */
interface Production {
  readonly entry: LibraryEntry;
  /** Nonterminal index of every argument. */
  readonly args: readonly number[];
}

/** Type to create programs of, with all its productions; partial applications are included. */
interface Nonterminal {
  readonly type: Type;
  readonly productions: readonly Production[];
}

/**
 * Grammar of a library's programs without lambdas: one nonterminal for `T`, the first, and one for every type that an
 * argument can have.
 */
export function createGrammar({ entries }: Library): readonly Nonterminal[] {
  const types: Type[] = [programType];
  const indices = new Map([[printType(programType), 0]]);
  const typeIndex = (type: Type): number => {
    const text = printType(type);
    const index = indices.get(text) ?? types.length;
    if (index === types.length) {
      indices.set(text, index);
      types.push(type);
    }
    return index;
  };
  const nonterminals: Nonterminal[] = [];
  // `types` grows during the loop.
  for (const type of types) {
    const wanted = printType(type);
    const productions = entries.flatMap((entry) => {
      const args = argumentsFor(entry.type, wanted);
      return args === undefined ? [] : [{ entry, args: args.map(typeIndex) }];
    });
    nonterminals.push({ type, productions });
  }
  return nonterminals;
}

/** Argument types after which a value of the type has the wanted type; undefined if there are none. */
function argumentsFor(type: Type, wanted: string): readonly Type[] | undefined {
  const parameters = parameterTypes(type);
  for (let count = 0; count <= parameters.length; count++) {
    const rest = functionType(parameters.slice(count), programType);
    if (printType(rest) === wanted) {
      return parameters.slice(0, count);
    }
  }
  return undefined;
}

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
