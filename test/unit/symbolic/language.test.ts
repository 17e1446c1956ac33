import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../extension/core/data/random';
import { evaluateProgram, Machine } from '../../../extension/core/symbolic/evaluation/machine';
import type { SymbolicGraph } from '../../../extension/core/models/patch/symbolic-graph';
import { graphToJson } from '../../../extension/core/symbolic/random-graph';
import { inferType } from '../../../extension/core/symbolic/language/infer-type';
import { initialLibrary, typeLookup } from '../../../extension/core/symbolic/language/library';
import type { Library } from '../../../extension/core/symbolic/language/library';
import { parseLibrary } from '../../../extension/core/symbolic/language/library-file';
import {
  createMass,
  reducedMass,
  reduceTerm,
} from '../../../extension/core/symbolic/language/reduce';
import { parseProgram, parseTerm } from '../../../extension/core/symbolic/language/parse-term';
import { Rejection } from '../../../extension/core/symbolic/language/rejection';
import { printTerm, termSize } from '../../../extension/core/symbolic/language/term';
import type { Term } from '../../../extension/core/symbolic/language/term';
import { printType } from '../../../extension/core/symbolic/language/primitives';
import { randomPrograms } from './random-programs';
import { referenceGraph } from './reference-interpreter';
import { archivedLibrary, archivedVectors, primitiveVectors } from './vectors';
import { randomRuns } from '../sample';

const primitives = initialLibrary();
const archived = archivedLibrary();
const machine = new Machine(archived);

const buildGraph = (text: string, library: Library = primitives): SymbolicGraph =>
  evaluateProgram(parseProgram(text, library), new Machine(library));

function catchRejection(action: () => unknown): Rejection {
  try {
    action();
  } catch (error) {
    if (error instanceof Rejection) {
      return error;
    }
    throw error;
  }
  throw new Error('Nothing was rejected.');
}

function graphOrRejection(program: Term): SymbolicGraph | undefined {
  try {
    return evaluateProgram(program, machine);
  } catch (error) {
    expect(error).toBeInstanceOf(Rejection);
    return undefined;
  }
}

describe('programs', () => {
  it.each(archivedVectors)('$program builds the archived graph', (vector) => {
    const term = parseProgram(vector.program, archived);
    expect(termSize(term)).toBe(vector.size);
    expect(reducedMass(term, archived)).toBe(vector.mass);
    expect(JSON.stringify(graphToJson(evaluateProgram(term, machine)))).toBe(vector.json);
  });

  it.each(primitiveVectors)('$program builds its graph', ({ program, json }) => {
    expect(JSON.stringify(graphToJson(buildGraph(program)))).toBe(json);
  });

  it('build the graphs that the definition of the primitives gives', () => {
    let built = 0;
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 40 }), (seed, budget) => {
        const program = randomPrograms(archived, seededRandom(seed), budget)();
        const expected = referenceGraph(reduceTerm(program, archived));
        expect(graphOrRejection(program)).toEqual(expected);
        built += expected === undefined ? 0 : 1;
      }),
      { numRuns: 1500 },
    );
    expect(built).toBeGreaterThan(100);
  });

  it('may contain lambdas and partial applications', () => {
    expect(buildGraph('((lam (push (add (connect $0)))) identity)')).toEqual(
      buildGraph('(push (add (connect identity)))'),
    );
    const twice = '((lam (lam ($1 ($1 $0)))) (lam (push (add (connect (next_port $0))))) identity)';
    expect(buildGraph(twice).nodes).toEqual([0, 1, 3]);
    expect(
      buildGraph('((lam ($0 identity)) (func (push (add (connect identity)))))').nodes,
    ).toEqual([0, 1]);
  });

  it('round-trip through printing', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const program = randomPrograms(archived, seededRandom(seed), 20)();
        expect(parseProgram(printTerm(program), archived)).toEqual(program);
      }),
      { numRuns: randomRuns(200, 50) },
    );
    const spaced = ' ( push\n(add ( connect\tidentity) ) ) ';
    expect(printTerm(parseProgram(spaced, primitives))).toBe('(push (add (connect identity)))');
    const term = '(lam (lam ($1 ($0 identity) (lam ($2 $0)))))';
    expect(printTerm(parseTerm(term, () => true))).toBe(term);
  });

  it('have a mass with inventions replaced, reduced or not', () => {
    const program = parseProgram('(push (add (connect fn_3)))', archived);
    expect(createMass(archived)(program)).toBe(8);
    expect(reducedMass(program, archived)).toBe(7);
    expect(printTerm(reduceTerm(program, archived))).toBe(
      '(push (add (connect (add (next_port (connect identity))))))',
    );
  });
});

describe('rejections', () => {
  it.each([
    ['', 'ends where a term is missing', 0],
    ['(push (add', 'ends where a term is missing', 10],
    ['(push (add identity)', '")" is missing', 20],
    ['(push)', 'A term is missing before ")"', 5],
    ['push identity)', '"identity" follows the end', 5],
    ['(push (fn_0 identity))', 'no symbol "fn_0"', 7],
    ['(push $0)', '$0 is bound by no lambda', 6],
    ['(lam', 'ends where a term is missing', 4],
    ['lam', 'no symbol "lam"', 0],
  ])('%s is no program', (text, message, position) => {
    const rejection = catchRejection(() => parseProgram(text, primitives));
    expect(rejection).toMatchObject({ reason: 'parse-error', position });
    expect(rejection.message).toContain(message);
    expect(rejection.message).toContain(`(character ${position + 1})`);
  });

  it.each([
    ['(identity push)', 'identity is T and takes no argument, but is applied to push.'],
    ['(push add)', 'push takes T, but add is T -> T.'],
    ['(func identity)', "The program's type is T -> T, not T."],
    ['(lam $0)', "The program's type is t0 -> t0, not T."],
    ['((lam ($0 $0)) push)', /^\$0 takes|^\$0 is/],
  ])('%s has the wrong types', (text, message) => {
    const rejection = catchRejection(() => parseProgram(text, primitives));
    expect(rejection.reason).toBe('type-error');
    expect(rejection.message).toEqual(
      typeof message === 'string' ? message : expect.stringMatching(message),
    );
  });

  it('reports a program that is too big', () => {
    const nested = (count: number): string =>
      `${'(push '.repeat(count)}identity${')'.repeat(count)}`;
    expect(termSize(parseProgram(nested(149), primitives))).toBe(150);
    expect(catchRejection(() => parseProgram(nested(150), primitives)).reason).toBe('too-big');
    expect(catchRejection(() => parseProgram(nested(100_000), primitives)).reason).toBe('too-big');
    expect(catchRejection(() => parseProgram('('.repeat(100_000), primitives)).reason).toBe(
      'too-big',
    );
  });

  it('explains why a graph is rejected', () => {
    expect(catchRejection(() => buildGraph('(push identity)')).reason).toBe('size-1');
    const unconnected =
      '(push (add (connect (if_positions_equal (prev_port (move identity)) identity identity (next_port identity) (add (connect identity))))))';
    expect(catchRejection(() => buildGraph(unconnected)).reason).toBe('components-2');
  });

  it('stops only programs that take too many steps', () => {
    const doubling = (count: number): Library =>
      parseLibrary(
        JSON.stringify({
          format: 'espalier.symboliclibrary',
          version: 1,
          entries: Array.from({ length: count }, (_, index) => ({
            name: `twice_${index}`,
            term: index === 0 ? '(lam (func $0 $0))' : `(lam (twice_${index - 1} (twice_0 $0)))`,
          })),
        }),
        'library.json',
      );
    const rejected = (count: number): string =>
      catchRejection(() =>
        buildGraph(`(twice_${count - 1} (push (next_port identity)))`, doubling(count)),
      ).reason;
    expect(rejected(10)).toBe('size-1');
    expect(rejected(40)).toBe('step-limit');
    const many = doubling(40);
    expect(
      catchRejection(() => reduceTerm(parseProgram('(twice_39 identity)', many), many)).reason,
    ).toBe('too-big');
  });
});

describe('deep programs', () => {
  const nested = (count: number, inner: string): string =>
    `${'(func '.repeat(count)}${inner}${' identity)'.repeat(count)}`;
  const deep = parseLibrary(
    JSON.stringify({
      format: 'espalier.symboliclibrary',
      version: 1,
      entries: Array.from({ length: 100 }, (_, index) => ({
        name: `deep_${index}`,
        term: `(lam (func ${nested(100, index === 0 ? 'identity' : `(deep_${index - 1} identity)`)} $0))`,
      })),
    }),
    'library.json',
  );

  it('are rejected, after any previous run', () => {
    const shared = new Machine(deep);
    for (const [index, reason] of [
      [99, 'step-limit'],
      [5, 'size-1'],
      [7, 'step-limit'],
      [6, 'size-1'],
      [99, 'step-limit'],
    ] as const) {
      const program = parseProgram(`(deep_${index} identity)`, deep);
      expect(catchRejection(() => evaluateProgram(program, shared)).reason).toBe(reason);
      expect(catchRejection(() => evaluateProgram(program, new Machine(deep))).reason).toBe(reason);
    }
    const program = parseProgram('(deep_99 identity)', deep);
    expect(catchRejection(() => reduceTerm(program, deep)).reason).toBe('too-big');
  });

  it('of any depth are parsed without an overflow', () => {
    expect(catchRejection(() => parseProgram('('.repeat(2000), primitives)).reason).toBe(
      'parse-error',
    );
    const lambdas = `${'(lam '.repeat(600)}$0${')'.repeat(600)}`;
    expect(catchRejection(() => parseProgram(lambdas, primitives)).reason).toBe('type-error');
  });
});

describe('types', () => {
  it.each([
    ['identity', 'T'],
    ['(func identity)', 'T -> T'],
    ['if_positions_equal', 'T -> T -> T -> T -> T -> T'],
    ['(lam (next_port ($0 identity)))', '(T -> T) -> T'],
    ['(lam ($0 identity))', '(T -> t1) -> t1'],
    ['(lam (lam ($1 ($0 identity))))', '(t3 -> t4) -> (T -> t3) -> t4'],
    ['(lam (lam (func $0 $1)))', 'T -> T -> T'],
  ])('%s is %s', (text, expected) => {
    const type = printType(
      inferType(
        parseTerm(text, () => true),
        typeLookup(primitives),
      ),
    );
    // Variables are numbered as they come: names do not matter.
    const normal = (name: string): string => {
      const seen: string[] = [];
      return name.replace(/t\d+/g, (variable) => {
        if (!seen.includes(variable)) {
          seen.push(variable);
        }
        return `t${seen.indexOf(variable)}`;
      });
    };
    expect(normal(type)).toBe(normal(expected));
  });

  it('are inferred for the archived inventions', () => {
    expect(
      archived.entries
        .filter(({ term }) => term !== undefined)
        .map(({ name, type }) => `${name}: ${printType(type)}`),
    ).toEqual([
      'fn_11: T -> T',
      'fn_5: T',
      'fn_4: T -> T',
      'fn_3: T',
      'fn_2: (T -> T) -> T',
      'fn_1: T -> T',
      'fn_0: T -> T',
    ]);
  });
});
