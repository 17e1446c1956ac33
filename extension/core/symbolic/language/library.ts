import { Rejection } from './rejection';
import { primitiveNames, primitiveType } from './primitives';
import { groundType, inferType } from './infer-type';
import { forEachSymbol } from './term';
import type { Term } from './term';
import type { Type } from './type';

/** A symbol that programs may use, with what the search pays for it. */
export interface LibraryEntry {
  readonly name: string;
  /** Of an invention: its closed term, which may use other entries. A primitive has none. */
  readonly term?: Term;
  /** Without type variables. */
  readonly type: Type;
  /** Natural logarithm; weights are not normalised. */
  readonly logWeight: number;
}

/** What programs are made of: inventions, the latest first, then primitives. */
export interface Library {
  readonly entries: readonly LibraryEntry[];
}

/** The ten primitives, each of weight 1/10. */
export function initialLibrary(): Library {
  return withUniformWeights(
    primitiveNames.map((name) => ({ name, type: primitiveType(name), logWeight: 0 })),
  );
}

/** The library of these entries, each of weight 1/entries. */
export function withUniformWeights(entries: readonly LibraryEntry[]): Library {
  const logWeight = -Math.log(entries.length);
  return { entries: entries.map((entry) => ({ ...entry, logWeight })) };
}

/**
 * The library with an invention before its other entries, all weights uniform again.
 * @param type the instance of the term's type to use; by default every type variable is `T`
 * @throws Rejection where the term has no type.
 */
export function withInvention(library: Library, name: string, term: Term, type?: Type): Library {
  const invention = { name, term, type: type ?? inventionType(library, term), logWeight: 0 };
  return withUniformWeights([invention, ...library.entries]);
}

function inventionType(library: Library, term: Term): Type {
  return groundType(inferType(term, typesOf(library)));
}

/** The types of all primitives and of the library's inventions, by name. */
export function typesOf({ entries }: Library): (name: string) => Type {
  const types = new Map<string, Type>(primitiveNames.map((name) => [name, primitiveType(name)]));
  for (const { name, type } of entries) {
    types.set(name, type);
  }
  return (name) => {
    const type = types.get(name);
    if (type === undefined) {
      throw new Rejection('type-error', `There is no symbol "${name}".`);
    }
    return type;
  };
}

/** An entry that is an invention. */
export type Invention = LibraryEntry & { readonly term: Term };

/**
 * The inventions, each after those that its term uses.
 * @throws Rejection where one uses itself.
 */
export function inventionsInOrder({ entries }: Library): readonly Invention[] {
  const inventions = new Map(
    entries.flatMap(({ term, ...entry }) =>
      term === undefined ? [] : [[entry.name, { ...entry, term }] as const],
    ),
  );
  const ordered = new Map<string, Invention>();
  const open = new Set<string>();
  const visit = (name: string): void => {
    const invention = inventions.get(name);
    if (invention === undefined || ordered.has(name)) {
      return;
    }
    if (open.has(name)) {
      throw new Rejection('type-error', `${name} uses itself.`);
    }
    open.add(name);
    forEachSymbol(invention.term, visit);
    ordered.set(name, invention);
  };
  for (const name of inventions.keys()) {
    visit(name);
  }
  return [...ordered.values()];
}
