import { expect, it } from 'vitest';
import { seededRandom } from '../../../extension/core/data/random';
import { randomGraph } from '../../../extension/core/symbolic/random-graph';

it('draws connected graphs with one port per edge', () => {
  const random = seededRandom(1);
  const seen = new Set<string>();
  for (let count = 2; count < 15; count++) {
    for (let more = 0; more < 4; more++) {
      const { nodes, edges, nextId } = randomGraph(count, more, random);
      expect(nodes.length).toBe(count);
      const pairs = (count * (count - 1)) / 2;
      expect(edges.length).toBeLessThanOrEqual(Math.min(pairs, count - 1 + more));
      expect(edges.length).toBeGreaterThanOrEqual(count - 1);
      const ids = [...nodes, ...edges.map(({ id }) => id)].sort((a, b) => a - b);
      expect(ids).toEqual(Array.from({ length: nextId }, (_, id) => id));
      const taken = edges.flatMap(({ ends, port }) => ends.map((end) => `${end}:${port}`));
      expect(new Set(taken).size).toBe(taken.length);
      const reached = new Set([0]);
      for (let round = 0; round < count; round++) {
        for (const { ends } of edges.filter((edge) => edge.ends.some((end) => reached.has(end)))) {
          ends.forEach((end) => reached.add(end));
        }
      }
      expect(reached.size).toBe(count);
      seen.add(JSON.stringify(edges));
    }
  }
  expect(seen.size).toBeGreaterThan(40);
});
