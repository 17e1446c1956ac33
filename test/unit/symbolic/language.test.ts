import { describe, expect, it } from 'vitest';
import { evaluateProgram } from '../../../extension/core/symbolic/evaluation/evaluate-program';
import { Machine } from '../../../extension/core/symbolic/evaluation/machine';
import { graphToJson } from '../../../extension/core/symbolic/graph-json';
import { initialLibrary } from '../../../extension/core/symbolic/language/library';
import { massesOf, reducedMass } from '../../../extension/core/symbolic/language/mass';
import { parseProgram } from '../../../extension/core/symbolic/language/parse-program';
import { printTerm, sizeOf } from '../../../extension/core/symbolic/language/term';
import { archivedLibrary, archivedVectors, primitiveVectors } from './vectors';

describe('the language', () => {
  const library = archivedLibrary();
  const machine = new Machine(library);

  it.each(archivedVectors)(
    'builds the archived graph of $program',
    ({ program, size, mass, json }) => {
      const term = parseProgram(program, library);
      expect(printTerm(term)).toBe(program);
      expect(sizeOf(term)).toBe(size);
      expect(reducedMass(term, library)).toBe(mass);
      expect(JSON.stringify(graphToJson(evaluateProgram(term, machine)))).toBe(json);
    },
  );

  it.each(primitiveVectors)('builds the graph of $program', ({ program, json }) => {
    const term = parseProgram(program, initialLibrary());
    const graph = evaluateProgram(term, new Machine(initialLibrary()));
    expect(JSON.stringify(graphToJson(graph))).toBe(json);
  });
  it('mass', () => {
    expect(massesOf(library)(parseProgram('(push (add (connect fn_3)))', library))).toBe(8);
  });
});
