import { Rejection } from './rejection';
import { primitiveNames, primitiveType } from './primitives';
import { groundType, inferType } from './infer-type';
import { forEachSymbol } from './term';
import type { Term } from './term';
import type { Type } from './primitives';

/** Symbol that programs can use, with its search cost. */
export interface LibraryEntry {
  readonly name: string;
  /** Closed term of an invention, which may use other entries; undefined for primitives. */
  readonly term?: Term;
  /** Type without type variables. */
  readonly type: Type;
  /** Natural logarithm; weights aren't normalized. */
  readonly logWeight: number;
}

/** Symbols of programs: inventions, latest first, then primitives. */
export interface Library {
  readonly entries: readonly LibraryEntry[];
}

/** Library of the ten primitives with weight 1/10 each. */
export function initialLibrary(): Library {
  return withUniformWeights(
    primitiveNames.map((name) => ({ name, type: primitiveType(name), logWeight: 0 })),
  );
}

/** Library of these entries with weight 1/n each. */
export function withUniformWeights(entries: readonly LibraryEntry[]): Library {
  const logWeight = -Math.log(entries.length);
  return { entries: entries.map((entry) => ({ ...entry, logWeight })) };
}

/**
 * Adds an invention before the other entries and resets the weights to uniform.
 * @param type instance of the term's type; by default every type variable is `T`
 * @throws Rejection if the term has no type
 */
export function withInvention(library: Library, name: string, term: Term, type?: Type): Library {
  const invention = { name, term, type: type ?? inventionType(library, term), logWeight: 0 };
  return withUniformWeights([invention, ...library.entries]);
}

function inventionType(library: Library, term: Term): Type {
  return groundType(inferType(term, typeLookup(library)));
}

/** Lookup of the types of all primitives and the library's inventions, by name. */
export function typeLookup({ entries }: Library): (name: string) => Type {
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

/** Library entry of an invention. */
export type Invention = LibraryEntry & { readonly term: Term };

/**
 * Inventions in dependency order.
 * @throws Rejection if an invention uses itself
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
