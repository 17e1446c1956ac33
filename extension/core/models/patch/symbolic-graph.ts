/** Edge between two nodes. It uses the same port number at both ends (arXiv 2303.03340, released code). */
export interface SymbolicEdge {
  /** Nodes and edges share one id counter. */
  readonly id: number;
  readonly port: number;
  /** Ids of the nodes it joins. */
  readonly ends: readonly [number, number];
}

/** An undirected multigraph with ports, built by a program and run as a neural module. */
export interface SymbolicGraph {
  /** Ids, ascending. */
  readonly nodes: readonly number[];
  /** Ascending by id. */
  readonly edges: readonly SymbolicEdge[];
  /** The first id that neither a node nor an edge has. */
  readonly nextId: number;
}
