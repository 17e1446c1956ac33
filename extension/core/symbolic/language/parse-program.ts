import { typeLookup } from './library';
import type { Library } from './library';
import { inferType, isInstance } from './infer-type';
import { parseTerm } from './parse-term';
import { isPrimitive } from './primitives';
import { Rejection } from './rejection';
import { termSize } from './term';
import type { Term } from './term';
import { printType, programType } from './type';

/** Maximum number of symbols of a program. */
export const maxProgramSize = 150;

/**
 * Parses a program of the library: a closed term of type `T` with at most {@link maxProgramSize} symbols.
 * @throws Rejection with the error and its position
 */
export function parseProgram(text: string, library: Library): Term {
  const names = new Set(library.entries.map(({ name }) => name));
  const term = parseTerm(text, (name) => isPrimitive(name) || names.has(name));
  const size = termSize(term);
  if (size > maxProgramSize) {
    throw new Rejection(
      'too-big',
      `The program has ${size} symbols; at most ${maxProgramSize} are allowed.`,
    );
  }
  const type = inferType(term, typeLookup(library));
  if (!isInstance(type, programType)) {
    throw new Rejection(
      'type-error',
      `The program's type is ${printType(type)}, not ${printType(programType)}.`,
    );
  }
  return term;
}
