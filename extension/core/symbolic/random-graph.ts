import type { Random } from '../data/random';
import { shuffle } from '../data/random';
import type { SymbolicEdge, SymbolicGraph } from '../models/patch/symbolic-graph';
import { portCount } from './evaluation/state-space';

/** Number of ports of a node. */
const ports = 10;

/**
 * Connected graph that a program could build, with each edge at a port that is free at both ends: a random tree, plus
 * up to `more` edges between other pairs of nodes. Baseline for graphs found by a search.
 */
export function randomGraph(count: number, more: number, random: Random): SymbolicGraph {
  const nodes = [0];
  const edges: SymbolicEdge[] = [];
  let nextId = 1;
  const connect = (a: number, b: number): void => {
    const free = Array.from({ length: ports }, (_, port) => port).filter((port) =>
      edges.every((edge) => edge.port !== port || !edge.ends.some((end) => end === a || end === b)),
    );
    const [port] = shuffle(free, random);
    if (port !== undefined) {
      edges.push({ id: nextId++, port, ends: [a, b] });
    }
  };
  while (nodes.length < count) {
    const isOpen = (node: number): boolean =>
      edges.filter(({ ends }) => ends.includes(node)).length < ports;
    const [old = 0] = shuffle(nodes.filter(isOpen), random);
    const added = nextId++;
    nodes.push(added);
    connect(old, added);
  }
  const pairs = nodes.flatMap((a, i) => nodes.slice(i + 1).map((b) => [a, b] as const));
  const apart = pairs.filter(
    ([a, b]) => !edges.some(({ ends }) => ends.includes(a) && ends.includes(b)),
  );
  for (const [a, b] of shuffle(apart, random).slice(0, more)) {
    connect(a, b);
  }
  return { nodes, edges, nextId };
}

/** A graph in the format of the released code. */
export interface GraphJson {
  /** `[[node, port], [edge id, neighbor]]`, in descending order of node and port. */
  readonly edges: readonly (readonly [readonly [number, number], readonly [number, number]])[];
  readonly next_id: number;
  /** Number of nodes. */
  readonly size: number;
  /** Number of ports of a node. */
  readonly max_conn: number;
}

export function graphToJson({ nodes, edges, nextId }: SymbolicGraph): GraphJson {
  const entries = edges.flatMap(({ id, port, ends: [a, b] }) => [
    [
      [a, port],
      [id, b],
    ] as const,
    [
      [b, port],
      [id, a],
    ] as const,
  ]);
  entries.sort(([[a, portOfA]], [[b, portOfB]]) => b - a || portOfB - portOfA);
  return { edges: entries, next_id: nextId, size: nodes.length, max_conn: portCount };
}
