import type { Library, LibraryEntry } from '../language/library';
import { splitSpine } from '../language/term';
import type { Term } from '../language/term';
import { functionType, parameterTypes, printType, programType } from '../language/primitives';
import { createGrammar } from './grammar';
import type { SymbolicGraph } from '../../models/patch/symbolic-graph';

export interface RefitOptions {
  /** True to compute log-sum-exp of exponentials like the released code, which makes the weights nearly equal. */
  readonly legacyWeights?: boolean;
  /** Largest difference between two log-weights. */
  readonly maxDifference?: number;
}

/** Added to counts, so that none is 0. */
const pseudocount = 0.001;
const defaultMaxDifference = 0.5;

/**
 * Fits the library's weights to programs (released code of arXiv 2303.03340): log-weight(p) = ln(uses of p) −
 * ln(possible uses of p). Counts are means over the programs weighted by their likelihood under uniform weights;
 * differences are then scaled down to `maxDifference`. Without programs the library is returned unchanged.
 */
export function refit(
  library: Library,
  programs: readonly Term[],
  { legacyWeights = false, maxDifference = defaultMaxDifference }: RefitOptions = {},
): Library {
  if (programs.length === 0) {
    return library;
  }
  const logSumExp = legacyWeights
    ? (values: readonly number[]) => exactLogSumExp(values.map(Math.exp))
    : exactLogSumExp;
  const uniform = -Math.log(library.entries.length);
  const choices = choicesByType(library);
  const counted = programs.map((program) => {
    const uses = collectUses(program, library);
    const logLikelihood = uses.reduce((sum, { type }) => {
      const possible = choices.get(type) ?? [];
      return sum + uniform - logSumExp(possible.map(() => uniform));
    }, 0);
    return { uses, logLikelihood };
  });
  const total = logSumExp(counted.map(({ logLikelihood }) => logLikelihood));
  const used = new Map<string, number>();
  const possible = new Map<string, number>();
  for (const { uses, logLikelihood } of counted) {
    const weight = Math.exp(logLikelihood - total);
    for (const { name, type } of uses) {
      used.set(name, (used.get(name) ?? 0) + weight);
      for (const choice of choices.get(type) ?? []) {
        possible.set(choice, (possible.get(choice) ?? 0) + weight);
      }
    }
  }
  const logWeights = library.entries.map(
    ({ name }) =>
      Math.log((used.get(name) ?? 0) + pseudocount) -
      Math.log((possible.get(name) ?? 0) + pseudocount),
  );
  const rescaled = rescale(logWeights, maxDifference);
  return {
    entries: library.entries.map((entry, index) => ({
      ...entry,
      logWeight: rescaled[index] ?? entry.logWeight,
    })),
  };
}

/** Names of the entries that can be the head of a program of a type, by the type's text. */
function choicesByType(library: Library): ReadonlyMap<string, readonly string[]> {
  return new Map(
    createGrammar(library).map(({ type, productions }) => [
      printType(type),
      productions.map(({ entry }) => entry.name),
    ]),
  );
}

interface Use {
  readonly name: string;
  /** Text of the result type with these arguments. */
  readonly type: string;
}

/** Symbols of a program, each with the type required at its position. */
function collectUses(program: Term, { entries }: Library): readonly Use[] {
  const byName = new Map<string, LibraryEntry>(entries.map((entry) => [entry.name, entry]));
  const uses: Use[] = [];
  const visit = (term: Term): void => {
    const { head, args } = splitSpine(term);
    if (head.kind !== 'symbol') {
      throw new Error('A program of the search has no lambda.');
    }
    const parameters = parameterTypes(byName.get(head.name)?.type ?? programType);
    const type = functionType(parameters.slice(args.length), programType);
    uses.push({ name: head.name, type: printType(type) });
    args.forEach(visit);
  };
  visit(program);
  return uses;
}

function exactLogSumExp(values: readonly number[]): number {
  const largest = Math.max(...values);
  return largest + Math.log(values.reduce((sum, value) => sum + Math.exp(value - largest), 0));
}

/** Scales the values toward their mean if their range is larger than `maxDifference`. */
function rescale(values: readonly number[], maxDifference: number): readonly number[] {
  const range = Math.max(...values) - Math.min(...values);
  if (range <= maxDifference) {
    return values;
  }
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return values.map((value) => mean + ((value - mean) * maxDifference) / range);
}

/** Graph with the known program of least unreduced mass that builds it. */
export interface PopulationMember {
  readonly graph: SymbolicGraph;
  readonly program: Term;
  /** Unreduced mass: number of symbols and bound variables with expanded inventions. */
  readonly mass: number;
}
