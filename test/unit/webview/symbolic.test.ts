import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../extension/core/data/random';
import { viewEvolution } from '../../../extension/core/symbolic/evolution/evolution-view';
import type { EvolutionState } from '../../../extension/core/symbolic/evolution/evolution-view';
import type { SymbolicGraph } from '../../../extension/core/models/patch/symbolic-graph';
import { graphToJson, randomGraph } from '../../../extension/core/symbolic/random-graph';
import { layOutGraph, nodeRadius } from '../../../webview/graph/graph-layout';
import {
  accuracyRange,
  listMembers,
  findRuns,
  selectedPlace,
  spreadPoints,
} from '../../../webview/symbolic/population';
import { scrollTopFrom, viewFrom } from '../../../webview/kit/saved-view';
import { savedView } from '../../../webview/symbolic/view-state';

/** Nodes 0, 1, … with the given links; edges get the following ids. */
function buildGraph(count: number, pairs: readonly (readonly [number, number])[]) {
  const graph: SymbolicGraph = {
    nodes: Array.from({ length: count }, (_, i) => i),
    edges: pairs.map((ends, i) => ({ id: count + i, port: i, ends: [...ends] })),
    nextId: count + pairs.length,
  };
  return graphToJson(graph);
}

const distance = (a: { x: number; y: number }, b: { x: number; y: number }) =>
  Math.hypot(a.x - b.x, a.y - b.y);

describe('the layout of a graph', () => {
  it('draws paths straight and flat', () => {
    const path = buildGraph(
      7,
      Array.from({ length: 6 }, (_, i) => [i, i + 1] as const),
    );
    const { nodes, width, height } = layOutGraph(path);
    expect(height).toBeLessThan(3 * nodeRadius);
    expect(width).toBeGreaterThan(6 * 65);
    const order = [...nodes].sort((a, b) => a.x - b.x).map(({ id }) => id);
    expect([order, [...order].reverse()]).toContainEqual([0, 1, 2, 3, 4, 5, 6]);
  });

  it('draws cycles round: all nodes are as far from the middle', () => {
    const cycle = buildGraph(
      6,
      Array.from({ length: 6 }, (_, i) => [i, (i + 1) % 6] as const),
    );
    const { nodes } = layOutGraph(cycle);
    const middle = {
      x: nodes.reduce((sum, { x }) => sum + x, 0) / 6,
      y: nodes.reduce((sum, { y }) => sum + y, 0) / 6,
    };
    const radii = nodes.map((node) => distance(node, middle));
    expect(Math.max(...radii) - Math.min(...radii)).toBeLessThan(1);
  });

  it('keeps the nodes of every random graph apart, all within the picture, the same each time', () => {
    for (let seed = 0; seed < 60; seed++) {
      const count = 2 + (seed % 14);
      const graph = graphToJson(randomGraph(count, seed % 6, seededRandom(seed)));
      const drawn = layOutGraph(graph);
      expect(layOutGraph(graph)).toEqual(drawn);
      const { nodes, edges, width, height } = drawn;
      expect(nodes).toHaveLength(count);
      expect(edges).toHaveLength(graph.edges.length / 2);
      for (const { x, y } of [...nodes, ...edges.map(({ middle }) => middle)]) {
        expect(x >= 0 && x <= width && y >= 0 && y <= height).toBe(true);
      }
      nodes.forEach((node, i) => {
        for (const other of nodes.slice(i + 1)) {
          expect(distance(node, other), `seed ${seed}`).toBeGreaterThan(2 * nodeRadius);
        }
      });
    }
  });

  it('draws several edges of two nodes next to each other, with their ports', () => {
    const { edges } = layOutGraph(
      buildGraph(2, [
        [0, 1],
        [0, 1],
        [0, 1],
      ]),
    );
    expect(edges.map(({ port }) => port)).toEqual([0, 1, 2]);
    const [a, b, c] = edges.map(({ middle }) => middle);
    expect(distance(a ?? { x: 0, y: 0 }, b ?? { x: 0, y: 0 })).toBeCloseTo(30, 0);
    expect(distance(a ?? { x: 0, y: 0 }, c ?? { x: 0, y: 0 })).toBeCloseTo(60, 0);
  });
});

describe('the population', () => {
  const model = (test: number, mass: number, validation = test) => ({
    ...{ name: 'K2', graph: buildGraph(2, [[0, 1]]), mass },
    program: '(push (add (connect identity)))',
    metrics: { training: 0, train: 1 - test, validation, test },
  });
  const state: EvolutionState = {
    settings: {
      ...{ iterations: 2, population: 3, keep: 1, seed: 0, programLimit: 10 },
      ...{ size: 'small', mode: 'clean', epochs: 1, legacyWeights: false },
      data: { mode: 'balanced', seed: 0, train: 8, validation: 8, test: 8 },
    },
    iterations: [
      {
        exploration: { enumerated: 10, added: 3, replaced: 0, total: 3 },
        library: [],
        models: [
          { ...model(0.5, 9), kept: false },
          { ...model(0.7, 8), kept: true },
          { ...model(0.5, 4), kept: false },
        ],
        spread: { mean: 0.57, deviation: 0.1, least: 0.5, most: 0.7 },
        correlation: -1,
        learned: [],
      },
    ],
    models: [model(0.6, 5)],
  };
  const evolution = viewEvolution(state);
  const done = { ...evolution, best: { iteration: 1, model: 2 } };

  it('is sorted, the lighter first among equals, and marks the best', () => {
    const numbers = (order: Parameters<typeof listMembers>[2]) =>
      listMembers(done, 0, order).map(({ place }) => place.model);
    expect(numbers('test')).toEqual([1, 2, 0]);
    expect(numbers('train')).toEqual([2, 0, 1]);
    expect(numbers('mass')).toEqual([2, 1, 0]);
    expect(numbers('found')).toEqual([0, 1, 2]);
    expect(listMembers(done, 0, 'found').map(({ isBest }) => isBest)).toEqual([false, true, false]);
    expect(listMembers(done, 7, 'test')).toEqual([]);
  });

  it('selects the previous selection, otherwise the best, otherwise the first of the latest', () => {
    expect(selectedPlace(done, { iteration: 0, model: 2 })).toEqual({ iteration: 0, model: 2 });
    expect(selectedPlace(done, { iteration: 0, model: 9 })).toEqual({ iteration: 0, model: 1 });
    expect(selectedPlace(evolution, undefined)).toEqual({ iteration: 1, model: 0 });
    expect(selectedPlace({ ...evolution, iterations: [] }, undefined)).toBeUndefined();
  });

  it('finds every training of a graph', () => {
    expect(findRuns(evolution, 0)).toHaveLength(4);
    expect(findRuns(evolution, 1)).toEqual([]);
  });

  it('lays points that would cover each other side by side, around their iteration', () => {
    const points = spreadPoints(evolution);
    expect(points.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    expect(points.map(({ x }) => x)).toEqual([0.975, 1, 1.025, 2]);
    expect(points[3]?.place).toEqual({ iteration: 1, model: 0 });
  });

  it('shows the part of the axis that has values', () => {
    expect(accuracyRange([0.52, 0.734])).toEqual({ min: 0.5, max: 0.75 });
    expect(accuracyRange([0.001, 1])).toEqual({ min: 0, max: 1 });
    expect(accuracyRange([])).toEqual({ min: 0, max: 1 });
  });
});

describe('the view of an evolution', () => {
  it('is restored', () => {
    const view = {
      ...{ iteration: 2, order: 'mass' },
      selected: { iteration: 1, model: 0 },
    };
    const saved: unknown = JSON.parse(JSON.stringify({ file: '/a', view, scrollTop: 12 }));
    expect(viewFrom(savedView, saved)).toEqual(view);
    expect(scrollTopFrom(saved)).toBe(12);
  });

  it('falls back to defaults if invalid', () => {
    const view = { iteration: -1, order: 'no', selected: { iteration: 1 } };
    expect(viewFrom(savedView, { view })).toEqual(viewFrom(savedView, undefined));
    expect(scrollTopFrom({ scrollTop: 'x' })).toBe(0);
  });
});
