import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../extension/core/data/random';
import { CancelledError, unattended } from '../../../extension/core/jobs/job';
import { Machine, evaluateProgram } from '../../../extension/core/symbolic/evaluation/machine';
import {
  evolve,
  graphName,
  correlation,
  expectedBestScore,
  describeSpread,
} from '../../../extension/core/symbolic/evolution/evolve';
import type {
  EvolutionEvent,
  TrainingOrder,
} from '../../../extension/core/symbolic/evolution/evolve';
import type { EvolutionSettings } from '../../../extension/core/symbolic/evolution/gssnn-document';
import { graphToJson } from '../../../extension/core/symbolic/random-graph';
import type { SymbolicGraph } from '../../../extension/core/models/patch/symbolic-graph';
import { parseProgram } from '../../../extension/core/symbolic/language/parse-term';
import type { NetworkMetrics } from '../../../extension/core/symbolic/module/train-network';

const settings: EvolutionSettings = {
  ...{ iterations: 3, population: 6, keep: 3, seed: 1, programLimit: 60_000 },
  ...{ size: 'small', mode: 'clean', epochs: 1, legacyWeights: false },
  data: { mode: 'balanced', seed: 1, train: 16, validation: 8, test: 8 },
};

/** Accuracies out of thin air, which follow from the order's seed. */
async function pretend({ seed }: TrainingOrder): Promise<NetworkMetrics> {
  const random = seededRandom(seed);
  const share = (): number => Math.round(random() * 1000) / 1000;
  return Promise.resolve({ training: share(), train: share(), validation: share(), test: share() });
}

describe('evolve', () => {
  it('searches, trains, keeps the networks that train best, and learns from them', async () => {
    const events: EvolutionEvent[] = [];
    const orders: TrainingOrder[] = [];
    const { iterations, library, best } = await evolve(
      settings,
      async (order) => {
        orders.push(order);
        return pretend(order);
      },
      { ...unattended, emit: (event: EvolutionEvent) => events.push(event) },
    );
    expect(iterations).toHaveLength(3);
    expect(orders.map(({ number }) => number)).toEqual(orders.map((_, i) => i));
    expect(new Set(orders.map(({ seed }) => seed)).size).toBe(orders.length);
    const machine = new Machine(library);
    let before = new Map<string, string>();
    iterations.forEach(({ models, exploration, spread, learned, library: own }, i) => {
      expect(exploration.enumerated).toBe(settings.programLimit);
      expect(exploration.total).toBe(models.length);
      expect(exploration.added).toBe(models.length - before.size);
      expect(models.filter(({ kept }) => kept)).toHaveLength(Math.min(3, models.length));
      const worstKept = Math.min(...models.filter((m) => m.kept).map((m) => m.metrics.train));
      expect(models.every((m) => m.kept || m.metrics.train <= worstKept)).toBe(true);
      expect(spread).toEqual(describeSpread(models.map(({ metrics }) => metrics.test)));
      // Every program builds the graph that it is said to, in the library as it became.
      for (const { program, graph, name } of models) {
        const built = evaluateProgram(parseProgram(program, library), machine);
        expect(graphToJson(built)).toEqual(graph);
        expect(graphName(built)).toBe(name);
      }
      // Kept graphs come first in the next population, unchanged.
      const names = models.map(({ name }) => name);
      expect([...before.values()]).toEqual(names.slice(0, before.size));
      const ordered = [...models]
        .filter(({ kept }) => kept)
        .sort((a, b) => b.metrics.train - a.metrics.train);
      before = new Map(ordered.map(({ program, name }) => [program, name]));
      const known = own.map(({ name }) => name);
      expect(learned.every(({ name }) => !known.includes(name))).toBe(true);
      const next = iterations[i + 1]?.library ?? [];
      expect(next.map(({ name }) => name)).toEqual(
        next.length === 0 ? [] : [...learned.map(({ name }) => name).reverse(), ...known],
      );
    });
    const all = iterations.flatMap(({ models }) => models);
    expect(iterations.at(-1)?.models.length).toBeGreaterThan(iterations[0]?.models.length ?? 9);
    expect(iterations.some(({ learned }) => learned.length > 0)).toBe(true);
    expect(best.metrics.validation).toBe(Math.max(...all.map((m) => m.metrics.validation)));
    expect(iterations[best.iteration - 1]?.models[best.model - 1]?.program).toBe(best.program);
    expect(events.filter(({ kind }) => kind === 'model')).toHaveLength(all.length);
    expect(events.filter(({ kind }) => kind === 'iteration')).toHaveLength(3);
  });

  it('follows from its settings', async () => {
    const run = async (change: Partial<EvolutionSettings>) =>
      evolve({ ...settings, iterations: 2, ...change }, pretend, unattended);
    expect(await run({})).toEqual(await run({}));
    expect((await run({ seed: 2 })).best.metrics).not.toEqual((await run({})).best.metrics);
  });

  it('stops when canceled, and reports if it finds nothing', async () => {
    const cancellation = { isCancellationRequested: false };
    const stopping = evolve(
      settings,
      async (order) => {
        cancellation.isCancellationRequested = order.number >= 1;
        return pretend(order);
      },
      { ...unattended, cancellation },
    );
    await expect(stopping).rejects.toThrow(CancelledError);
    const tiny = evolve({ ...settings, programLimit: 10 }, pretend, unattended);
    await expect(tiny).rejects.toFailWith({ code: 'graph-not-found', field: 'programs' });
  });
});

describe('graphName', () => {
  const graph = (...ends: (readonly [number, number])[]): SymbolicGraph => ({
    nodes: [...new Set(ends.flat())].sort((a, b) => a - b),
    edges: ends.map((pair, port) => ({ id: 100 + port, port, ends: pair })),
    nextId: 0,
  });
  it.each([
    ['K2', graph([0, 1])],
    ['K2', graph([0, 1], [1, 0])],
    ['P3', graph([0, 1], [1, 2])],
    ['K3', graph([0, 1], [1, 2], [2, 0])],
    ['C4', graph([0, 1], [1, 2], [2, 3], [3, 0])],
    ['star 4', graph([0, 1], [0, 2], [0, 3])],
    ['5 nodes, 4 edges (3 2 1 1 1)', graph([0, 1], [0, 2], [0, 3], [3, 4])],
  ])('reports %s', (name, given) => {
    expect(graphName(given)).toBe(name);
  });
});

describe('Statistics', () => {
  it('are those of samples', () => {
    const { deviation, ...others } = describeSpread([1, 2, 4]);
    expect(others).toEqual({ mean: 7 / 3, least: 1, most: 4 });
    expect(deviation).toBeCloseTo(Math.sqrt(7 / 3), 12);
    expect(describeSpread([5]).deviation).toBeNull();
    expect(correlation([1, 2, 3], [2, 4, 6])).toBeCloseTo(1, 12);
    expect(correlation([1, 2, 3], [6, 4, 2])).toBeCloseTo(-1, 12);
    expect(correlation([1, 2, 3, 4], [1, 3, 2, 4])).toBeCloseTo(0.8, 12);
    expect(correlation([1, 1], [2, 3])).toBeNull();
  });

  it('expect the best of a sample to equal the average over all samples', () => {
    const random = seededRandom(3);
    const candidates = Array.from({ length: 7 }, () => ({ validation: random(), score: random() }));
    for (const count of [1, 3, 7, 9]) {
      const choices = Array.from({ length: 2 ** 7 }, (_, bits) =>
        candidates.filter((_candidate, i) => (bits >> i) % 2 === 1),
      ).filter(({ length }) => length === Math.min(count, 7));
      const scores = choices.map((choice) =>
        choice.reduce((best, one) => (one.validation > best.validation ? one : best)),
      );
      const average = scores.reduce((sum, { score }) => sum + score, 0) / scores.length;
      expect(expectedBestScore(candidates, count)).toBeCloseTo(average, 12);
    }
  });
});
