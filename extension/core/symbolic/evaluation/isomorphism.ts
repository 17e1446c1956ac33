import type { SymbolicGraph } from '../../models/patch/symbolic-graph';

/** Rounds of color refinement; more rounds distinguish larger graphs before matching. */
const rounds = 8;

/** Simple undirected graph: ignores ports, ids and multiple edges. */
export class SimpleGraph {
  /** [node, node]: 1 if they are adjacent. */
  private readonly adjacency: Uint8Array;
  /** Color of each node, invariant under isomorphism (Weisfeiler and Leman). */
  private readonly colors: Int32Array;
  /** Invariant under isomorphism: number of nodes and sorted colors, which imply the degrees. */
  public readonly key: string;

  public constructor(
    public readonly nodeCount: number,
    edges: Iterable<readonly [number, number]>,
  ) {
    this.adjacency = new Uint8Array(nodeCount * nodeCount);
    for (const [a, b] of edges) {
      this.adjacency[a * nodeCount + b] = 1;
      this.adjacency[b * nodeCount + a] = 1;
    }
    this.colors = this.refinedColors();
    this.key = `${nodeCount}:${this.colors.slice().sort().join(',')}`;
  }

  public static of({ nodes, edges }: SymbolicGraph): SimpleGraph {
    const indices = new Map(nodes.map((id, index) => [id, index]));
    const index = (id: number): number => indices.get(id) ?? 0;
    return new SimpleGraph(
      nodes.length,
      edges.map(({ ends: [a, b] }) => [index(a), index(b)] as const),
    );
  }

  public isNeighbor(a: number, b: number): boolean {
    return this.adjacency[a * this.nodeCount + b] === 1;
  }

  /** True if a bijection of the nodes preserves adjacency; exact, by backtracking. */
  public isIsomorphic(other: SimpleGraph): boolean {
    if (this.key !== other.key) {
      return false;
    }
    const order = this.connectedOrder();
    const image = new Int32Array(this.nodeCount).fill(-1);
    const used = new Uint8Array(this.nodeCount);
    const place = (depth: number): boolean => {
      if (depth === order.length) {
        return true;
      }
      const node = order[depth] ?? 0;
      for (let candidate = 0; candidate < this.nodeCount; candidate++) {
        if (
          used[candidate] === 0 &&
          this.colors[node] === other.colors[candidate] &&
          this.agrees(other, order, depth, image, candidate)
        ) {
          used[candidate] = 1;
          image[node] = candidate;
          if (place(depth + 1)) {
            return true;
          }
          used[candidate] = 0;
        }
      }
      return false;
    };
    return place(0);
  }

  /** True if `candidate` can be the image of the node at `depth`, given the images of earlier nodes. */
  private agrees(
    other: SimpleGraph,
    order: readonly number[],
    depth: number,
    image: Int32Array,
    candidate: number,
  ): boolean {
    const node = order[depth] ?? 0;
    for (let i = 0; i < depth; i++) {
      const before = order[i] ?? 0;
      if (this.isNeighbor(node, before) !== other.isNeighbor(candidate, image[before] ?? 0)) {
        return false;
      }
    }
    return true;
  }

  /** Orders the nodes so that each has an earlier neighbor if possible, which detects wrong matches early. */
  private connectedOrder(): number[] {
    const order: number[] = [];
    const seen = new Uint8Array(this.nodeCount);
    for (let root = 0; root < this.nodeCount; root++) {
      if (seen[root] === 0) {
        seen[root] = 1;
        order.push(root);
      }
      for (let next = order.indexOf(root); next >= 0 && next < order.length; next++) {
        for (let node = 0; node < this.nodeCount; node++) {
          if (seen[node] === 0 && this.isNeighbor(order[next] ?? 0, node)) {
            seen[node] = 1;
            order.push(node);
          }
        }
      }
    }
    return order;
  }

  private refinedColors(): Int32Array {
    let colors = new Int32Array(this.nodeCount).fill(1);
    for (let round = 0; round < Math.min(rounds, this.nodeCount); round++) {
      const refined = new Int32Array(this.nodeCount);
      for (let node = 0; node < this.nodeCount; node++) {
        let sum = 0;
        for (let other = 0; other < this.nodeCount; other++) {
          if (this.isNeighbor(node, other)) {
            sum = (sum + mix(colors[other] ?? 0)) | 0;
          }
        }
        refined[node] = mix(Math.imul(colors[node] ?? 0, 0x9e3779b1) + sum);
      }
      colors = refined;
    }
    return colors;
  }
}

function mix(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

/** Assigns class ids to graphs, from 0; two graphs have the same id if and only if they are isomorphic. */
export class GraphClasses {
  private readonly buckets = new Map<
    string,
    { readonly graph: SimpleGraph; readonly id: number }[]
  >();
  private count = 0;

  public get size(): number {
    return this.count;
  }

  public classOf(graph: SimpleGraph): number {
    const bucket = this.buckets.get(graph.key) ?? [];
    const known = bucket.find((entry) => entry.graph.isIsomorphic(graph));
    if (known !== undefined) {
      return known.id;
    }
    const id = this.count++;
    bucket.push({ graph, id });
    this.buckets.set(graph.key, bucket);
    return id;
  }
}
