import type { SymbolicEdge, SymbolicGraph } from '../../models/patch/symbolic-graph';
import type { PrimitiveName } from '../language/primitives';

/** Growable array of 32-bit integers with doubling capacity. */
export class GrowableArray {
  public values = new Int32Array(1024);
  public length = 0;

  public push(value: number): void {
    if (this.length === this.values.length) {
      this.reserve(1);
    }
    this.values[this.length++] = value;
  }

  public at(index: number): number {
    return this.values[index] ?? 0;
  }

  /** Reserves capacity for `count` more. */
  public reserve(count: number): void {
    if (this.length + count > this.values.length) {
      const grown = new Int32Array(Math.max(2 * this.values.length, this.length + count));
      grown.set(this.values);
      this.values = grown;
    }
  }
}

/** Number of ports of a node; `max_conn` of the released code. */
export const portCount = 10;

/** Third field of a graph that added a node; for an added edge, the field is one of its ends. */
const nodeAdded = -1;

const emptySlot = -1;

/**
 * Interned tuples of four 32-bit integers, with ids from 0 in order of insertion. Keeps graphs, stacks and states
 * small, and reduces comparing them to comparing ids.
 */
class TupleTable {
  private fields = new Int32Array(4 * 256);
  private slots = new Int32Array(1024).fill(emptySlot);
  private count = 0;

  public get size(): number {
    return this.count;
  }

  /** Returns the id of the tuple, and adds it if necessary. */
  public intern(a: number, b: number, c: number, d: number): number {
    let slot = this.hash(a, b, c, d);
    for (;;) {
      const id = this.slots[slot] ?? emptySlot;
      if (id === emptySlot) {
        return this.insert(slot, a, b, c, d);
      }
      const at = 4 * id;
      if (
        this.fields[at] === a &&
        this.fields[at + 1] === b &&
        this.fields[at + 2] === c &&
        this.fields[at + 3] === d
      ) {
        return id;
      }
      slot = (slot + 1) & (this.slots.length - 1);
    }
  }

  /** Element of the tuple, `field` 0 to 3. */
  public field(id: number, field: number): number {
    return this.fields[4 * id + field] ?? 0;
  }

  private hash(a: number, b: number, c: number, d: number): number {
    let mixed = Math.imul(a, 0x9e3779b1) ^ Math.imul(b + 0x7f4a7c15, 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0xc2b2ae35) ^ Math.imul(c + 0x165667b1, 0x27d4eb2f);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0x9e3779b1) ^ Math.imul(d + 0x2545f491, 0x85ebca6b);
    mixed ^= mixed >>> 16;
    return mixed & (this.slots.length - 1);
  }

  private insert(slot: number, a: number, b: number, c: number, d: number): number {
    const id = this.count++;
    if (4 * this.count > this.fields.length) {
      const grown = new Int32Array(2 * this.fields.length);
      grown.set(this.fields);
      this.fields = grown;
    }
    this.fields.set([a, b, c, d], 4 * id);
    this.slots[slot] = id;
    if (2 * this.count > this.slots.length) {
      this.rehash();
    }
    return id;
  }

  private rehash(): void {
    this.slots = new Int32Array(2 * this.slots.length).fill(emptySlot);
    for (let id = 0; id < this.count; id++) {
      const at = 4 * id;
      let slot = this.hash(
        this.fields[at] ?? 0,
        this.fields[at + 1] ?? 0,
        this.fields[at + 2] ?? 0,
        this.fields[at + 3] ?? 0,
      );
      while (this.slots[slot] !== emptySlot) {
        slot = (slot + 1) & (this.slots.length - 1);
      }
      this.slots[slot] = id;
    }
  }
}

/**
 * States that programs reach: graph, position, port and stack of positions (specification of arXiv 2303.03340's
 * released code). Every distinct state and every graph has one id. A graph is stored as its history, the previous graph
 * and the addition: ids of nodes and edges encode their order, so two graphs with the same edges have the same history.
 */
export class StateSpace {
  /** (previous graph, end, other end or {@link nodeAdded}, port), ends ascending. */
  private readonly graphs = new TupleTable();
  private readonly nodeCounts = new GrowableArray();
  private readonly nextIds = new GrowableArray();
  private readonly componentCounts = new GrowableArray();
  /** (rest of the stack, top, 0, 0); stack 0 is empty. */
  private readonly stacks = new TupleTable();
  /** (graph, position, port, stack). */
  private readonly states = new TupleTable();
  /** Initial state: node 0, no edges, position 0, port 0, empty stack. */
  public readonly initial: number;

  public constructor() {
    this.graphs.intern(-1, 0, nodeAdded, 0);
    this.describeGraph(1, 1, 1);
    this.stacks.intern(-1, -1, 0, 0);
    this.initial = this.states.intern(0, 0, 0, 0);
  }

  public get stateCount(): number {
    return this.states.size;
  }

  public get graphCount(): number {
    return this.graphs.size;
  }

  public graphOf(state: number): number {
    return this.states.field(state, 0);
  }

  public positionOf(state: number): number {
    return this.states.field(state, 1);
  }

  public nodeCount(graph: number): number {
    return this.nodeCounts.at(graph);
  }

  /** 2 between adding a node and connecting it, otherwise 1. */
  public componentCount(graph: number): number {
    return this.componentCounts.at(graph);
  }

  /** True if a graph is a valid result: connected, with more than one node. */
  public isResult(graph: number): boolean {
    return this.nodeCount(graph) > 1 && this.componentCount(graph) === 1;
  }

  /** State after a primitive that takes at most its continuation; unchanged if the primitive has no effect. */
  public step(state: number, step: PrimitiveName): number {
    const graph = this.states.field(state, 0);
    const position = this.states.field(state, 1);
    const port = this.states.field(state, 2);
    const stack = this.states.field(state, 3);
    switch (step) {
      case 'next_port':
        return this.states.intern(graph, position, (port + 1) % portCount, stack);
      case 'prev_port':
        return this.states.intern(graph, position, (port + portCount - 1) % portCount, stack);
      case 'push':
        return this.states.intern(graph, position, port, this.stacks.intern(stack, position, 0, 0));
      case 'move':
        return this.states.intern(graph, this.neighbor(graph, position, port), port, stack);
      case 'add': {
        if (stack === 0 || this.componentCount(graph) !== 1) {
          return state;
        }
        const grown = this.withNode(graph);
        return this.states.intern(grown, this.nextIds.at(graph), port, stack);
      }
      case 'connect':
        return this.states.intern(
          this.connected(graph, position, port, stack),
          position,
          port,
          stack,
        );
      case 'pop':
        return stack === 0 || !this.mayPop(graph, position, stack)
          ? state
          : this.states.intern(graph, position, port, this.stacks.field(stack, 0));
      default:
        return state;
    }
  }

  /** `func`: the state with the graph of another state, unless that has an unconnected node. */
  public withGraphOf(state: number, other: number): number {
    const graph = this.graphOf(other);
    return this.componentCount(graph) > 1
      ? state
      : this.states.intern(
          graph,
          this.states.field(state, 1),
          this.states.field(state, 2),
          this.states.field(state, 3),
        );
  }

  public describe(graph: number): SymbolicGraph {
    const nodes: number[] = [];
    const edges: SymbolicEdge[] = [];
    for (let rest = graph; rest >= 0; rest = this.graphs.field(rest, 0)) {
      const end = this.graphs.field(rest, 1);
      const other = this.graphs.field(rest, 2);
      if (other === nodeAdded) {
        nodes.push(end);
      } else {
        const id = this.nextIds.at(rest) - 1;
        edges.push({ id, port: this.graphs.field(rest, 3), ends: [end, other] });
      }
    }
    return { nodes: nodes.reverse(), edges: edges.reverse(), nextId: this.nextIds.at(graph) };
  }

  private withNode(graph: number): number {
    const node = this.nextIds.at(graph);
    const grown = this.graphs.intern(graph, node, nodeAdded, 0);
    this.describeGraph(this.graphs.size, this.nodeCount(graph) + 1, node + 1, 2);
    return grown;
  }

  private connected(graph: number, position: number, port: number, stack: number): number {
    if (stack === 0) {
      return graph;
    }
    const top = this.stacks.field(stack, 1);
    const isFree =
      top !== position &&
      this.neighbor(graph, position, port) === position &&
      this.neighbor(graph, top, port) === top;
    if (!isFree) {
      return graph;
    }
    const grown = this.graphs.intern(graph, Math.min(position, top), Math.max(position, top), port);
    this.describeGraph(this.graphs.size, this.nodeCount(graph), this.nextIds.at(graph) + 1);
    return grown;
  }

  /** Stores the properties of the graph with id `count` − 1 if it is new. */
  private describeGraph(count: number, nodes: number, nextId: number, components = 1): void {
    if (this.nodeCounts.length < count) {
      this.nodeCounts.push(nodes);
      this.nextIds.push(nextId);
      this.componentCounts.push(components);
    }
  }

  /** True if popping is allowed: an unconnected node must keep its only path to the others on the stack. */
  private mayPop(graph: number, position: number, stack: number): boolean {
    if (this.componentCount(graph) === 1) {
      return true;
    }
    for (let rest = this.stacks.field(stack, 0); rest > 0; rest = this.stacks.field(rest, 0)) {
      if (this.stacks.field(rest, 1) !== position) {
        return true;
      }
    }
    return false;
  }

  /** Node at the other end of the port, or the node itself if the port is free. */
  private neighbor(graph: number, node: number, port: number): number {
    for (let rest = graph; rest >= 0; rest = this.graphs.field(rest, 0)) {
      const other = this.graphs.field(rest, 2);
      if (other !== nodeAdded && this.graphs.field(rest, 3) === port) {
        const end = this.graphs.field(rest, 1);
        if (end === node || other === node) {
          return end === node ? other : end;
        }
      }
    }
    return node;
  }
}
