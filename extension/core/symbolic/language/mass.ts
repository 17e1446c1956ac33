import { inventionsInOrder } from './library';
import type { Library } from './library';
import { reduceTerm } from './reduce';
import { sizeOf } from './term';
import type { Term } from './term';

/**
 * Gives the unreduced mass of programs: symbols and bound variables, an invention counting what its term counts. The
 * search keeps the program of the lowest.
 */
export function massesOf(library: Library): (term: Term) => number {
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
 * Symbols of a program once its inventions are replaced and all is reduced, as the released code's archive has it.
 * @throws Rejection where that is too big.
 */
export function reducedMass(program: Term, library: Library): number {
  return sizeOf(reduceTerm(program, library));
}
