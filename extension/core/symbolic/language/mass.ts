import { inventionsInOrder } from './library';
import type { Library } from './library';
import { reduceTerm } from './reduce';
import { termSize } from './term';
import type { Term } from './term';

/**
 * Returns a function that computes the unreduced mass of a program: the number of symbols and bound variables with
 * expanded inventions. The search keeps the program of least mass.
 */
export function createMass(library: Library): (term: Term) => number {
  const inventions = new Map<string, number>();
  const mass = (term: Term): number => {
    switch (term.kind) {
      case 'symbol':
        return inventions.get(term.name) ?? 1;
      case 'variable':
        return 1;
      case 'lambda':
        return mass(term.body);
      case 'application':
        return mass(term.function) + mass(term.argument);
    }
  };
  for (const { name, term } of inventionsInOrder(library)) {
    inventions.set(name, mass(term));
  }
  return mass;
}

/**
 * Number of symbols of a program after expanding inventions and full reduction, as in the released code's archive.
 * @throws Rejection if the result is too large
 */
export function reducedMass(program: Term, library: Library): number {
  return termSize(reduceTerm(program, library));
}
