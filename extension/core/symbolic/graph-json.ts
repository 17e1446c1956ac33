import type { SymbolicGraph } from '../models/patch/symbolic-graph';
import { portCount } from './evaluation/state-space';

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
