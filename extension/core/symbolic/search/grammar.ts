import type { Library, LibraryEntry } from '../language/library';
import { functionType, parameterTypes, printType, programType } from '../language/type';
import type { Type } from '../language/type';

/** Production of a program of a type: an entry applied to programs of its first parameters' types. */
export interface Production {
  readonly entry: LibraryEntry;
  /** Nonterminal index of every argument. */
  readonly args: readonly number[];
}

/** Type to create programs of, with all its productions; partial applications are included. */
export interface Nonterminal {
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
