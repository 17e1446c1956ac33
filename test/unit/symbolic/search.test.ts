import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../extension/core/data/random';
import { unattended } from '../../../extension/core/jobs/job';
import { evaluateProgram, Machine } from '../../../extension/core/symbolic/evaluation/machine';
import { SimpleGraph } from '../../../extension/core/symbolic/evaluation/isomorphism';
import { initialLibrary } from '../../../extension/core/symbolic/language/library';
import type { Library } from '../../../extension/core/symbolic/language/library';
import { createMass } from '../../../extension/core/symbolic/language/reduce';
import { parseProgram } from '../../../extension/core/symbolic/language/parse-term';
import {
  applied,
  forEachSymbol,
  printTerm,
  symbol,
} from '../../../extension/core/symbolic/language/term';
import type { Term } from '../../../extension/core/symbolic/language/term';
import { weightCost, createGrammar } from '../../../extension/core/symbolic/search/grammar';
import {
  countPrograms,
  enumerateBySize,
} from '../../../extension/core/symbolic/search/enumerate-by-size';
import { Enumeration } from '../../../extension/core/symbolic/search/enumeration';
import { explore } from '../../../extension/core/symbolic/search/explore';
import type { Exploration } from '../../../extension/core/symbolic/search/explore';
import type { PopulationMember } from '../../../extension/core/symbolic/search/refit';
import { refit } from '../../../extension/core/symbolic/search/refit';
import { archivedLibrary } from './vectors';
import { randomRuns } from '../sample';

/** The library with random weights, some of them equal. */
function withRandomWeights({ entries }: Library, seed: number): Library {
  const random = seededRandom(seed);
  return {
    entries: entries.map((entry) => ({
      ...entry,
      logWeight: -1 - Math.floor(8 * random()) * (random() < 0.5 ? 0.1 : 0.1234567),
    })),
  };
}

function termCost(term: Term, library: Library): number {
  const costs = new Map(
    library.entries.map(({ name, logWeight }) => [name, weightCost(logWeight)]),
  );
  let cost = 0;
  forEachSymbol(term, (name) => {
    cost += costs.get(name) ?? NaN;
  });
  return cost;
}

/** All programs that cost at most `most`, by trying every production. */
function bruteForce(library: Library, most: number): string[] {
  const grammar = createGrammar(library);
  const make = (nonterminal: number, budget: number): { term: Term; cost: number }[] =>
    (grammar[nonterminal]?.productions ?? []).flatMap(({ entry, args }) => {
      let partial = [{ args: [] as Term[], cost: weightCost(entry.logWeight) }];
      for (const argument of args) {
        partial = partial
          .filter(({ cost }) => cost <= budget)
          .flatMap((before) =>
            make(argument, budget - before.cost).map(({ term, cost }) => ({
              args: [...before.args, term],
              cost: before.cost + cost,
            })),
          );
      }
      return partial
        .filter(({ cost }) => cost <= budget)
        .map((one) => ({ term: applied(symbol(entry.name), one.args), cost: one.cost }));
    });
  return make(0, most).map(({ term }) => printTerm(term));
}

/** The first programs of a search. */
function firstPrograms(library: Library, count: number): Term[] {
  const machine = new Machine(library);
  const enumeration = new Enumeration(library, machine);
  for (const { count: made } of enumeration.run()) {
    if (made >= count) {
      break;
    }
  }
  return Array.from({ length: Math.min(count, enumeration.programs.length) }, (_, index) =>
    machine.termOf(enumeration.programs.at(index)),
  );
}

describe('enumeration', () => {
  it('has the table of the specification', async () => {
    expect(await enumerateBySize(initialLibrary(), 7, unattended)).toEqual({
      programs: [1, 7, 50, 364, 2697, 20308, 155181],
      kept: [0, 0, 0, 1, 22, 314, 3712],
      distinctGraphs: [0, 0, 0, 1, 1, 1, 2],
    });
  });

  it('enumerates all programs, with functions as arguments too', async () => {
    const library = archivedLibrary();
    const { programs } = await enumerateBySize(library, 5, unattended);
    expect(programs).toEqual(countPrograms(library, 5));
  });

  it('rejects a search that exceeds memory', async () => {
    await expect(enumerateBySize(initialLibrary(), 10, unattended)).rejects.toFailWith({
      code: 'programs-too-many',
      field: 'maxSize',
      remedy: /Choose a size of 9/,
    });
  });

  it.each([
    ['primitives', initialLibrary()],
    ['a library with functions as arguments', archivedLibrary()],
  ])('returns every program once, in order of decreasing likelihood: %s', (_, plain) => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const library = withRandomWeights(plain, seed);
        const programs = firstPrograms(library, 150);
        const costs = programs.map((program) => termCost(program, library));
        expect(costs).toEqual([...costs].sort((a, b) => a - b));
        const texts = programs.map(printTerm);
        expect(new Set(texts).size).toBe(texts.length);
        // The last cost may include more programs than were requested.
        const below = texts.filter((_text, index) => (costs[index] ?? 0) < (costs.at(-1) ?? 0));
        expect([...below].sort()).toEqual(bruteForce(library, (costs.at(-1) ?? 0) - 1).sort());
      }),
      { numRuns: randomRuns(15, 4) },
    );
  });

  it('ends after the last program of the grammar', () => {
    const entries = archivedLibrary().entries.filter(({ name }) =>
      ['fn_3', 'fn_2', 'push', 'connect'].includes(name),
    );
    const library = {
      entries: entries.filter(({ name }) => name !== 'push' && name !== 'connect'),
    };
    expect(firstPrograms(library, 100).map(printTerm)).toEqual(['fn_3']);
  });

  it('has no program larger than 150 symbols', () => {
    const library = {
      entries: initialLibrary()
        .entries.filter(({ name }) => name === 'identity' || name === 'push')
        .map((entry) => ({ ...entry, logWeight: 0 })),
    };
    expect(firstPrograms(library, 1000).length).toBe(150);
  });
});

const secondTexts = ['(fn_0 identity)', '(fn_0 (add (next_port (connect identity))))'];

function preservedPrograms(library: Library): PopulationMember[] {
  return secondTexts.map((text) => {
    const program = parseProgram(text, library);
    const graph = evaluateProgram(program, new Machine(library));
    return { program, graph, mass: createMass(library)(program) };
  });
}

const simple = (count: number, ...edges: (readonly [number, number])[]): SimpleGraph =>
  new SimpleGraph(count, edges);

describe('exploration', () => {
  const library = archivedLibrary(1);
  const legacy = refit(
    library,
    secondTexts.map((text) => parseProgram(text, library)),
    { legacyWeights: true },
  );
  const run = async (
    options: Partial<Parameters<typeof explore>[1]>,
    from = legacy,
  ): Promise<Exploration> =>
    explore(from, { quota: 50, programLimit: 20_000, ...options }, unattended);

  it('finds the programs of the released search, with the same replacements', async () => {
    const { population, enumerated, added, replaced } = await run({
      programLimit: 1_062_914,
      preserved: preservedPrograms(legacy),
    });
    expect({ enumerated, added, replaced }).toEqual({
      enumerated: 1_062_914,
      added: 5,
      replaced: 1,
    });
    const expected = [
      simple(2, [0, 1]),
      simple(3, [0, 1], [1, 2]),
      simple(4, [0, 1], [1, 2], [2, 3]),
      simple(4, [0, 1], [0, 2], [0, 3]),
      simple(3, [0, 1], [1, 2], [2, 0]),
      simple(5, [0, 1], [1, 2], [2, 3], [3, 4]),
      simple(5, [0, 1], [0, 2], [0, 3], [3, 4]),
    ];
    const found = population.map(({ graph }) => SimpleGraph.of(graph));
    expect(found.length).toBe(expected.length);
    for (const graph of expected) {
      expect(found.filter((other) => other.isIsomorphic(graph)).length).toBe(1);
    }
  });

  it('counts 1 062 914 programs of the released weights at a cost of 0.35807 at most', () => {
    const enumeration = new Enumeration(legacy, new Machine(legacy));
    const most = weightCost(-0.35807);
    let count = 0;
    for (const progress of enumeration.run()) {
      if (progress.cost > most) {
        count = enumeration.countBelow(most);
        break;
      }
    }
    expect(count).toBe(1_062_914);
  });

  it('keeps one program of least mass for every graph', async () => {
    const { population } = await run({});
    const machine = new Machine(legacy);
    const best = new Map<PopulationMember, number>();
    for (const program of firstPrograms(legacy, 20_000)) {
      let graph: SimpleGraph;
      try {
        graph = SimpleGraph.of(evaluateProgram(program, machine));
      } catch {
        continue;
      }
      const member = population.find((one) => SimpleGraph.of(one.graph).isIsomorphic(graph));
      if (member === undefined) {
        throw new Error(`${printTerm(program)} is missing`);
      }
      const mass = createMass(legacy)(program);
      best.set(member, Math.min(best.get(member) ?? Infinity, mass));
    }
    expect(population.length).toBeGreaterThan(2);
    for (const member of population) {
      expect(member.mass).toBe(best.get(member));
      expect(createMass(legacy)(member.program)).toBe(member.mass);
      expect(evaluateProgram(member.program, machine)).toEqual(member.graph);
    }
  });

  it('stops adding at the quota but keeps replacing', async () => {
    const preserved = preservedPrograms(legacy);
    const { population, added, replaced } = await run({ quota: 3, preserved });
    expect({ size: population.length, added, replaced }).toEqual({
      size: 3,
      added: 1,
      replaced: 1,
    });
    expect(population.map(({ mass }) => mass).slice(0, 2)).toEqual([4, 8]);
  });

  it('is deterministic', async () => {
    expect(await run({})).toEqual(await run({}));
  });

  it('can be canceled, and reports progress', async () => {
    const cancellation = { isCancellationRequested: false };
    const seen: number[] = [];
    const exploration = explore(
      legacy,
      { quota: 50, programLimit: 1_000_000 },
      {
        ...unattended,
        cancellation,
        progress: ({ done }) => {
          seen.push(done);
          cancellation.isCancellationRequested = done > 10_000;
        },
      },
    );
    await expect(exploration).rejects.toThrow('Canceled');
    expect(seen.length).toBeGreaterThan(1);
    expect(seen.at(-1)).toBeLessThan(100_000);
  });

  it('rejects a limit that exceeds memory', async () => {
    await expect(run({ programLimit: 1e9 })).rejects.toFailWith({ code: 'programs-too-many' });
  });
});
