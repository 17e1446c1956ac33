import type { Library, LibraryEntry } from '../language/library';
import { functionType, parametersOf, printType, programType } from '../language/type';
import type { Type } from '../language/type';

/** A way to make a program of a type: an entry applied to programs of its first parameters' types. */
export interface Production {
  readonly entry: LibraryEntry;
  /** Index of the nonterminal of every argument. */
  readonly args: readonly number[];
}

/** A type that programs are searched for, and all ways to make one; a partial application is one too. */
export interface Nonterminal {
  readonly type: Type;
  readonly productions: readonly Production[];
}

/**
 * The grammar of a library's programs without lambdas: one nonterminal for `T`, which is the first, and one for every
 * type that an argument can have.
 */
export function grammarOf({ entries }: Library): readonly Nonterminal[] {
  const types: Type[] = [programType];
  const indices = new Map([[printType(programType), 0]]);
  const indexOf = (type: Type): number => {
    const text = printType(type);
    const index = indices.get(text) ?? types.length;
    if (index === types.length) {
      indices.set(text, index);
      types.push(type);
    }
    return index;
  };
  const nonterminals: Nonterminal[] = [];
  // `types` grows while it is gone through.
  for (const type of types) {
    const wanted = printType(type);
    const productions = entries.flatMap((entry) => {
      const args = argumentsFor(entry.type, wanted);
      return args === undefined ? [] : [{ entry, args: args.map(indexOf) }];
    });
    nonterminals.push({ type, productions });
  }
  return nonterminals;
}

/** The arguments after which a value of the type has the type that is wanted; undefined where none do. */
function argumentsFor(type: Type, wanted: string): readonly Type[] | undefined {
  const parameters = parametersOf(type);
  for (let count = 0; count <= parameters.length; count++) {
    const rest = functionType(parameters.slice(count), programType);
    if (printType(rest) === wanted) {
      return parameters.slice(0, count);
    }
  }
  return undefined;
}
