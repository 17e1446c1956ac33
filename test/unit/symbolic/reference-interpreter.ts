import type { SymbolicGraph } from '../../../extension/core/models/patch/symbolic-graph';
import { splitSpine } from '../../../extension/core/symbolic/language/term';
import type { Term } from '../../../extension/core/symbolic/language/term';

interface State {
  /** By `node,port`. */
  readonly edges: ReadonlyMap<string, { readonly id: number; readonly neighbor: number }>;
  readonly nodes: readonly number[];
  readonly nextId: number;
  readonly components: number;
  readonly position: number;
  readonly port: number;
  readonly stack: readonly number[];
}

type Program = (state: State) => State;

/** The primitives word by word as the spec has them, on maps that are copied. */
const primitives: Readonly<Record<string, (...args: Program[]) => Program>> = {
  identity: () => (state) => state,
  next_port: (then) => (state) => then({ ...state, port: (state.port + 1) % 10 }),
  prev_port: (then) => (state) => then({ ...state, port: (state.port + 9) % 10 }),
  push: (then) => (state) => then({ ...state, stack: [state.position, ...state.stack] }),
  move: (then) => (state) => {
    const edge = state.edges.get(`${state.position},${state.port}`);
    return then({ ...state, position: edge?.neighbor ?? state.position });
  },
  add: (then) => (state) =>
    then(
      state.stack.length === 0 || state.components !== 1
        ? state
        : {
            ...state,
            nodes: [...state.nodes, state.nextId],
            position: state.nextId,
            nextId: state.nextId + 1,
            components: 2,
          },
    ),
  connect: (then) => (state) => {
    const { position, port, nextId: id } = state;
    const [top] = state.stack;
    const edges = new Map(state.edges);
    if (
      top === undefined ||
      top === position ||
      edges.has(`${position},${port}`) ||
      edges.has(`${top},${port}`)
    ) {
      return then(state);
    }
    edges.set(`${position},${port}`, { id, neighbor: top });
    edges.set(`${top},${port}`, { id, neighbor: position });
    return then({ ...state, edges, nextId: id + 1, components: 1 });
  },
  pop: (then) => (state) => {
    const rest = state.stack.slice(1);
    const may = state.components === 1 || rest.some((entry) => entry !== state.position);
    return then(may ? { ...state, stack: rest } : state);
  },
  func: (body, then) => (state) => {
    const after = body(state);
    const { edges, nodes, nextId, components } = after.components <= 1 ? after : state;
    return then({ ...state, edges, nodes, nextId, components });
  },
  if_positions_equal: (left, right, equal, different, then) => (state) =>
    then(left(state).position === right(state).position ? equal(state) : different(state)),
};

function readProgram(term: Term): Program {
  const { head, args } = splitSpine(term);
  const primitive = head.kind === 'symbol' ? primitives[head.name] : undefined;
  if (primitive === undefined) {
    throw new Error('The reference knows primitives only.');
  }
  return primitive(...args.map(readProgram));
}

/** The graph of a program of primitives; undefined where it is not kept. */
export function referenceGraph(term: Term): SymbolicGraph | undefined {
  const { edges, nodes, nextId, components } = readProgram(term)({
    edges: new Map(),
    nodes: [0],
    nextId: 1,
    components: 1,
    position: 0,
    port: 0,
    stack: [],
  });
  if (nodes.length === 1 || components > 1) {
    return undefined;
  }
  const found = [...edges].flatMap(([key, { id, neighbor }]) => {
    const [node = 0, port = 0] = key.split(',').map(Number);
    return node < neighbor ? [{ id, port, ends: [node, neighbor] as const }] : [];
  });
  return { nodes, edges: found.sort((a, b) => a.id - b.id), nextId };
}
