import type { SymbolicGraph } from '../models/patch/symbolic-graph';
import { portCount } from './evaluation/state-space';

/** A graph as the released code writes it. */
export interface GraphJson {
  /** `[[node, port], [edge id, neighbour]]`, from the largest node and port down. */
  readonly edges: readonly (readonly [readonly [number, number], readonly [number, number]])[];
  readonly next_id: number;
  /** Nodes. */
  readonly size: number;
  /** Ports of a node. */
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
