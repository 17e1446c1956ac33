import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededRandom, shuffle } from '../../../extension/core/data/random';
import { GraphClasses, SimpleGraph } from '../../../extension/core/symbolic/evaluation/isomorphism';

type Edge = readonly [number, number];

const pairs = (count: number): Edge[] =>
  Array.from({ length: count }, (_, a) =>
    Array.from({ length: a }, (_, b) => [a, b] as const),
  ).flat();

function permutations(items: readonly number[]): number[][] {
  return items.length === 0
    ? [[]]
    : items.flatMap((item) =>
        permutations(items.filter((other) => other !== item)).map((rest) => [item, ...rest]),
      );
}

const key = (count: number, edges: readonly Edge[], image: readonly number[]): string => {
  const present = new Set(edges.flatMap(([a, b]) => [`${a} ${b}`, `${b} ${a}`]));
  return pairs(count)
    .map(([a, b]) => (present.has(`${image[a] ?? 0} ${image[b] ?? 0}`) ? '1' : '0'))
    .join('');
};

/** By trying every way to pair the nodes. */
function bruteForce(count: number, left: readonly Edge[], right: readonly Edge[]): boolean {
  const nodes = Array.from({ length: count }, (_, node) => node);
  const wanted = key(count, left, nodes);
  return permutations(nodes).some((image) => key(count, right, image) === wanted);
}

/** Random edges of a graph of `count` nodes, each present with some probability. */
const graphs = (most: number): fc.Arbitrary<{ count: number; left: Edge[]; right: Edge[] }> =>
  fc.integer({ min: 1, max: most }).chain((count) =>
    fc.record({
      count: fc.constant(count),
      left: fc.subarray(pairs(count)),
      right: fc.subarray(pairs(count)),
    }),
  );

const cycle = (nodes: readonly number[]): Edge[] =>
  nodes.map((node, index) => [node, nodes[(index + 1) % nodes.length] ?? 0] as const);

describe('isomorphism', () => {
  it('agrees with trying every pairing', () => {
    let isomorphic = 0;
    fc.assert(
      fc.property(graphs(5), ({ count, left, right }) => {
        const expected = bruteForce(count, left, right);
        isomorphic += expected ? 1 : 0;
        expect(new SimpleGraph(count, left).isIsomorphic(new SimpleGraph(count, right))).toBe(
          expected,
        );
      }),
      { numRuns: 600 },
    );
    expect(isomorphic).toBeGreaterThan(20);
  });

  it('is true for every renaming of larger graphs', () => {
    fc.assert(
      fc.property(graphs(14), fc.integer(), ({ count, left }, seed) => {
        const image = shuffle(
          Array.from({ length: count }, (_, node) => node),
          seededRandom(seed),
        );
        const renamed = left.map(([a, b]) => [image[b] ?? 0, image[a] ?? 0] as const);
        const [one, other] = [new SimpleGraph(count, left), new SimpleGraph(count, renamed)];
        expect(one.key).toBe(other.key);
        expect(one.isIsomorphic(other)).toBe(true);
      }),
    );
  });

  it('distinguishes regular graphs of one degree', () => {
    const hexagon = new SimpleGraph(6, cycle([0, 1, 2, 3, 4, 5]));
    const triangles = new SimpleGraph(6, [...cycle([0, 1, 2]), ...cycle([3, 4, 5])]);
    expect(hexagon.key).toBe(triangles.key);
    expect(hexagon.isIsomorphic(triangles)).toBe(false);
    const prism = new SimpleGraph(6, [
      ...cycle([0, 1, 2]),
      ...cycle([3, 4, 5]),
      [0, 3],
      [1, 4],
      [2, 5],
    ]);
    const bipartite = new SimpleGraph(
      6,
      [0, 1, 2].flatMap((a) => [3, 4, 5].map((b) => [a, b] as const)),
    );
    expect(prism.key).toBe(bipartite.key);
    expect(prism.isIsomorphic(bipartite)).toBe(false);
  });

  it('numbers the 11 graphs of 4 nodes', () => {
    const classes = new GraphClasses();
    const all = pairs(4);
    for (let subset = 0; subset < 2 ** all.length; subset++) {
      classes.classOf(
        new SimpleGraph(
          4,
          all.filter((_, index) => (subset >> index) & 1),
        ),
      );
    }
    expect(classes.size).toBe(11);
  });

  it('forgets ports, ids and how often two nodes are joined', () => {
    const once = SimpleGraph.of({
      nodes: [0, 1, 3],
      edges: [
        { id: 2, port: 0, ends: [0, 1] },
        { id: 4, port: 1, ends: [1, 3] },
      ],
      nextId: 5,
    });
    const twice = SimpleGraph.of({
      nodes: [0, 2, 5],
      edges: [
        { id: 1, port: 9, ends: [0, 5] },
        { id: 3, port: 4, ends: [2, 5] },
        { id: 4, port: 5, ends: [2, 5] },
      ],
      nextId: 6,
    });
    expect(once.isIsomorphic(twice)).toBe(true);
  });
});
