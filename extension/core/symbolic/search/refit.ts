import type { Library, LibraryEntry } from '../language/library';
import { spineOf } from '../language/term';
import type { Term } from '../language/term';
import { functionType, parametersOf, printType, programType } from '../language/type';
import { grammarOf } from './grammar';

export interface RefitOptions {
  /** As the released code does, where log-sum-exp is taken of exponentials: the weights end nearly equal. */
  readonly legacyWeights?: boolean;
  /** Largest difference between two log-weights. */
  readonly maxDifference?: number;
}

/** What is added to counts, so that none is 0. */
const pseudocount = 0.001;
const defaultMaxDifference = 0.5;

/**
 * The library with weights that make the programs likely (released code of arXiv 2303.03340): log-weight(p) =
 * ln(uses of p) − ln(possible uses of p), counts being means over the programs, weighted by their likelihood under
 * uniform weights; then differences are shrunk to `maxDifference`. Without programs the library stays as it is.
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
    ? (values: readonly number[]) => logSumExpOf(values.map(Math.exp))
    : logSumExpOf;
  const uniform = -Math.log(library.entries.length);
  const choices = choicesOf(library);
  const counted = programs.map((program) => {
    const uses = usesOf(program, library);
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

/** Names of the entries that can stand at the head of a program of a type, by the type's text. */
function choicesOf(library: Library): ReadonlyMap<string, readonly string[]> {
  return new Map(
    grammarOf(library).map(({ type, productions }) => [
      printType(type),
      productions.map(({ entry }) => entry.name),
    ]),
  );
}

interface Use {
  readonly name: string;
  /** Of what the symbol makes with the arguments it has there. */
  readonly type: string;
}

/** The symbols of a program, each with the type that was wanted where it stands. */
function usesOf(program: Term, { entries }: Library): readonly Use[] {
  const byName = new Map<string, LibraryEntry>(entries.map((entry) => [entry.name, entry]));
  const uses: Use[] = [];
  const visit = (term: Term): void => {
    const { head, args } = spineOf(term);
    if (head.kind !== 'symbol') {
      throw new Error('A program of the search has no lambda.');
    }
    const parameters = parametersOf(byName.get(head.name)?.type ?? programType);
    const type = functionType(parameters.slice(args.length), programType);
    uses.push({ name: head.name, type: printType(type) });
    args.forEach(visit);
  };
  visit(program);
  return uses;
}

function logSumExpOf(values: readonly number[]): number {
  const largest = Math.max(...values);
  return largest + Math.log(values.reduce((sum, value) => sum + Math.exp(value - largest), 0));
}

/** The values drawn towards their mean, if their range is larger than `maxDifference`. */
function rescale(values: readonly number[], maxDifference: number): readonly number[] {
  const range = Math.max(...values) - Math.min(...values);
  if (range <= maxDifference) {
    return values;
  }
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return values.map((value) => mean + ((value - mean) * maxDifference) / range);
}
