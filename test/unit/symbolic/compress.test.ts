import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../extension/core/data/random';
import { unattended } from '../../../extension/core/jobs/job';
import { bestAbstraction, compress } from '../../../extension/core/symbolic/compression/compress';
import type { Compression } from '../../../extension/core/symbolic/compression/compress';
import { Corpus } from '../../../extension/core/symbolic/compression/corpus';
import { KnownInventions } from '../../../extension/core/symbolic/compression/known-inventions';
import { evaluateProgram, Machine } from '../../../extension/core/symbolic/evaluation/machine';
import type { SymbolicGraph } from '../../../extension/core/models/patch/symbolic-graph';
import { inferType } from '../../../extension/core/symbolic/language/infer-type';
import { initialLibrary, typeLookup } from '../../../extension/core/symbolic/language/library';
import type { Library } from '../../../extension/core/symbolic/language/library';
import { parseProgram } from '../../../extension/core/symbolic/language/parse-term';
import { reduceTerm } from '../../../extension/core/symbolic/language/reduce';
import { Rejection } from '../../../extension/core/symbolic/language/rejection';
import { printTerm, termSize, symbol } from '../../../extension/core/symbolic/language/term';
import type { Term } from '../../../extension/core/symbolic/language/term';
import { printType } from '../../../extension/core/symbolic/language/primitives';
import { randomPrograms } from './random-programs';
import { archivedLibrary } from './vectors';

const primitives = initialLibrary();

const learn = async (texts: readonly string[], library = primitives): Promise<Compression> =>
  compress(
    library,
    texts.map((text) => parseProgram(text, library)),
    {},
    unattended,
  );

const summary = ({ inventions }: Compression): unknown[] =>
  inventions.map(({ name, term, utility }) => [name, printTerm(term), utility]);

function graphOrReason(program: Term, machine: Machine): SymbolicGraph | string {
  try {
    return evaluateProgram(program, machine);
  } catch (error) {
    if (error instanceof Rejection) {
      return error.reason;
    }
    throw error;
  }
}

/** 100 for a symbol or variable, 1 for an application; lambdas of an invention are free. */
function cost(term: Term): number {
  switch (term.kind) {
    case 'symbol':
      return 100;
    case 'variable':
      return 0;
    case 'lambda':
      return cost(term.body);
    case 'application':
      return 1 + cost(term.function) + cost(term.argument);
  }
}

/** Every pattern with at most two holes that matches the term at its root, a hole being a variable. */
function* patterns(term: Term, bound: readonly Term[]): Generator<[Term, readonly Term[]]> {
  for (const [index, other] of bound.entries()) {
    if (printTerm(other) === printTerm(term)) {
      yield [{ kind: 'variable', index }, bound];
    }
  }
  if (bound.length < 2) {
    yield [{ kind: 'variable', index: bound.length }, [...bound, term]];
  }
  if (term.kind === 'application') {
    for (const [head, before] of patterns(term.function, bound)) {
      for (const [argument, after] of patterns(term.argument, before)) {
        yield [{ kind: 'application', function: head, argument }, after];
      }
    }
  } else {
    yield [term, bound];
  }
}

function matchPattern(pattern: Term, term: Term, bound: Term[] = []): Term[] | undefined {
  if (pattern.kind === 'variable') {
    const before = (bound[pattern.index] ??= term);
    return printTerm(before) === printTerm(term) ? bound : undefined;
  }
  if (pattern.kind === 'application') {
    return term.kind === 'application' &&
      matchPattern(pattern.function, term.function, bound) !== undefined &&
      matchPattern(pattern.argument, term.argument, bound) !== undefined
      ? bound
      : undefined;
  }
  return printTerm(pattern) === printTerm(term) ? bound : undefined;
}

function subterms(term: Term): Term[] {
  return term.kind === 'application'
    ? [term, ...subterms(term.function), ...subterms(term.argument)]
    : [term];
}

/** The highest utility of all patterns, each tried; 0 where none has more. */
function bestUtility(programs: readonly Term[], library: Library): number {
  const readType = (term: Term): string => printType(inferType(term, typeLookup(library)));
  const all = new Map<string, Term>();
  for (const program of programs) {
    for (const part of subterms(program)) {
      for (const [pattern] of patterns(part, [])) {
        // A hole alone would be used for everything, its own argument included.
        if (pattern.kind !== 'variable') {
          all.set(printTerm(pattern), pattern);
        }
      }
    }
  }
  let best = 0;
  for (const pattern of all.values()) {
    const types = (term: Term): string | undefined =>
      matchPattern(pattern, term)?.concat(term).map(readType).join(', ');
    const instances = new Set(programs.flatMap(subterms).map(types));
    for (const instance of instances) {
      const matches = (term: Term): boolean => types(term) === instance;
      const owners = programs.filter((program) => subterms(program).some(matches));
      if (instance === undefined || owners.length < 2) {
        continue;
      }
      const cheapest = (term: Term): number => {
        const plain =
          term.kind === 'application' ? 1 + cheapest(term.function) + cheapest(term.argument) : 100;
        const args = matches(term) ? matchPattern(pattern, term) : undefined;
        const used = args?.reduce((sum, argument) => sum + 1 + cheapest(argument), 100);
        return Math.min(plain, used ?? Infinity);
      };
      const saved = programs.reduce((sum, program) => sum + cost(program) - cheapest(program), 0);
      best = Math.max(best, saved - cost(pattern));
    }
  }
  return best;
}

describe('compression', () => {
  it('finds the abstraction of the released archive, and no other', async () => {
    const result = await learn([
      '(push (add (connect identity)))',
      '(push (add (connect (add (next_port (connect identity))))))',
    ]);
    expect(summary(result)).toEqual([['fn_0', '(lam (push (add (connect $0))))', 101]]);
    expect(result.programs.map(printTerm)).toEqual([
      '(fn_0 identity)',
      '(fn_0 (add (next_port (connect identity))))',
    ]);
    expect(result.library.entries[0]).toMatchObject({ name: 'fn_0', logWeight: -Math.log(11) });
    expect(new Set(result.library.entries.map(({ logWeight }) => logWeight)).size).toBe(1);
  });

  it('has holes for functions', async () => {
    const result = await learn(
      ['add', 'connect', 'move'].map((name) => `(push (next_port (${name} identity)))`),
    );
    expect(summary(result)).toEqual([['fn_0', '(lam (push (next_port ($0 identity))))', 303]]);
    expect(result.programs.map(printTerm)).toEqual(['(fn_0 add)', '(fn_0 connect)', '(fn_0 move)']);
    expect(printType(result.library.entries[0]?.type ?? { kind: 'program' })).toBe('(T -> T) -> T');
  });

  it('may use a hole twice', async () => {
    const twice = (body: string): string => `(func (push (add ${body})) (move ${body}))`;
    const result = await learn([
      twice('(next_port (pop (push (move identity))))'),
      twice('(prev_port (push (pop (next_port identity))))'),
    ]);
    expect(result.inventions.map(({ term }) => printTerm(term))).toEqual([
      '(lam (func (push (add $0)) (move $0)))',
    ]);
    expect(result.programs.map(printTerm)).toContain(
      '(fn_0 (next_port (pop (push (move identity)))))',
    );
  });

  it('ignores repeats within a single program, and fragments that are too short', async () => {
    const repeated = '(func (push (add (connect identity))) (push (add (connect identity))))';
    const result = await learn([repeated, 'identity']);
    expect(result.inventions).toEqual([]);
    expect(result.library).toBe(primitives);
    expect(result.programs.map(printTerm)).toEqual([repeated, 'identity']);
  });

  it('counts names on from those of the library', async () => {
    const result = await learn(
      ['(fn_1 (add (connect (pop identity))))', '(fn_1 (add (connect (pop (move identity)))))'],
      archivedLibrary(2),
    );
    expect(result.inventions.map(({ name }) => name)).toEqual(['fn_2']);
  });

  it('rewrites programs with the library, and does not learn its entries again', async () => {
    const spelled = '(push (add (connect (move identity))))';
    const deeper = '(push (add (connect (add (next_port (connect identity))))))';
    const library = archivedLibrary(1);
    const result = await learn([spelled, deeper, '(pop identity)'], library);
    expect(result.inventions).toEqual([]);
    expect(result.library).toBe(library);
    expect(result.programs.map(printTerm)).toEqual([
      '(fn_0 (move identity))',
      '(fn_0 (add (next_port (connect identity))))',
      '(pop identity)',
    ]);
    // A library that says the same in other words, with inventions inside of inventions.
    const nested = archivedLibrary();
    const chain = '(push (add (connect (next_port (push (add (connect (next_port %)))))))';
    const ends = ['(pop (move identity))', '(move (pop identity))'];
    const again = await learn(
      ends.map((end) => `${chain.replace('%', end)})`),
      nested,
    );
    expect(again.inventions).toEqual([]);
    expect(again.programs.map(printTerm)).toEqual(ends.map((end) => `(fn_4 ${end})`));
  });

  it('uses library entries even if only one program gains', async () => {
    const result = await learn(
      ['(next_port (func identity identity))', '(next_port (push (fn_11 (fn_2 fn_0))))'],
      archivedLibrary(),
    );
    expect(result.inventions).toEqual([]);
    expect(result.programs.map(printTerm)).toEqual([
      '(fn_2 (func identity))',
      '(next_port (fn_1 identity))',
    ]);
  });

  it('learns no term twice', async () => {
    const library = archivedLibrary();
    let learned = 0;
    await fc.assert(
      fc.asyncProperty(fc.integer(), fc.integer({ min: 2, max: 12 }), async (seed, count) => {
        const make = randomPrograms(library, seededRandom(seed), 8);
        const programs = Array.from({ length: count }, make).map((program) =>
          reduceTerm(program, library),
        );
        const result = await compress(library, programs, {}, unattended);
        const terms = result.library.entries.flatMap(({ name, term, type }) =>
          term === undefined
            ? []
            : [`${printTerm(reduceTerm(symbol(name), result.library))}: ${printType(type)}`],
        );
        expect(new Set(terms).size).toBe(terms.length);
        for (const [index, program] of result.programs.entries()) {
          expect(reduceTerm(program, result.library)).toEqual(programs[index]);
        }
        learned += result.inventions.length;
      }),
      { numRuns: 60 },
    );
    expect(learned).toBeGreaterThan(5);
  });

  it('finds the highest utility that any pattern has', async () => {
    const { entries } = archivedLibrary(3);
    const library = { entries: entries.filter(({ name }) => name !== 'if_positions_equal') };
    let found = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.integer(),
        fc.integer({ min: 2, max: 5 }),
        fc.integer({ min: 3, max: 7 }),
        async (seed, count, budget) => {
          const make = randomPrograms(library, seededRandom(seed), budget);
          const programs = Array.from({ length: count }, make);
          fc.pre(programs.every((program) => termSize(program) < 10));
          const corpus = new Corpus(programs, typeLookup(library));
          const best = await bestAbstraction(corpus, 2, unattended.cancellation);
          expect(best?.utility ?? 0).toBe(bestUtility(programs, library));
          found += best === undefined ? 0 : 1;
        },
      ),
      { numRuns: 150 },
    );
    expect(found).toBeGreaterThan(20);
  });

  it('keeps the meaning of every program, and accounts for its utility', async () => {
    const library = archivedLibrary();
    const machine = new Machine(library);
    let learned = 0;
    await fc.assert(
      fc.asyncProperty(fc.integer(), fc.integer({ min: 2, max: 12 }), async (seed, count) => {
        const make = randomPrograms(library, seededRandom(seed), 8);
        const programs = Array.from({ length: count }, make);
        const result = await compress(library, programs, {}, unattended);
        const written = new KnownInventions(library).useIn(programs);
        const after = new Machine(result.library);
        for (const [index, program] of result.programs.entries()) {
          const before = programs[index] ?? program;
          expect(parseProgram(printTerm(program), result.library)).toEqual(program);
          expect(reduceTerm(program, result.library)).toEqual(reduceTerm(before, library));
          expect(graphOrReason(program, after)).toEqual(graphOrReason(before, machine));
        }
        const total = (terms: readonly Term[]): number =>
          terms.reduce((sum, term) => sum + cost(term), 0);
        const utilities = result.inventions.reduce((sum, { utility }) => sum + utility, 0);
        const bodies = total(result.inventions.map(({ term }) => term));
        expect(total(written)).toBeLessThanOrEqual(total(programs));
        expect(total(written) - total(result.programs) - bodies).toBe(utilities);
        learned += result.inventions.length;
      }),
      { numRuns: 60 },
    );
    expect(learned).toBeGreaterThan(15);
  });

  it('can be cancelled', async () => {
    const make = randomPrograms(primitives, seededRandom(1), 60);
    const programs = Array.from({ length: 40 }, make);
    await expect(
      compress(
        primitives,
        programs,
        {},
        { ...unattended, cancellation: { isCancellationRequested: true } },
      ),
    ).rejects.toThrow('Canceled');
  });
});
