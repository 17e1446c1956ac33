import type { GraphIndex, GraphNode } from './graph-index';
import type { ResidualBranch } from './residual-stream';

/** A graph after branches were taken out. */
export interface RemainingGraph {
  /** Nodes that still lead to an output. */
  readonly live: ReadonlySet<GraphNode>;
  /** Outputs of the graph that went with the branches, such as their keys and values. */
  readonly droppedOutputs: ReadonlySet<string>;
  /** The value that now stands for `value`. */
  readonly resolve: (value: string) => string;
}

/** Puts the start of each branch in place of its end, and finds what is still needed then. */
export function removeBranches(
  index: GraphIndex,
  branches: readonly ResidualBranch[],
): RemainingGraph {
  const aliases = new Map(branches.map(({ start, end }) => [end, start]));
  const resolve = (value: string): string => {
    let name = value;
    for (let next = aliases.get(name); next !== undefined; next = aliases.get(name)) {
      name = next;
    }
    return name;
  };
  const droppedOutputs = new Set(branches.flatMap((branch) => sideOutputs(index, branch)));
  const live = new Set<GraphNode>();
  const open = [...index.outputs].filter((name) => !droppedOutputs.has(name)).map(resolve);
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    const node = index.producers.get(value);
    if (node !== undefined && !live.has(node)) {
      live.add(node);
      open.push(...node.inputs.map(resolve));
    }
  }
  return { live, droppedOutputs, resolve };
}

/** Outputs of the graph that a branch makes beside the stream. */
function sideOutputs(index: GraphIndex, { end, nodes }: ResidualBranch): string[] {
  const after = index.descendants([end]);
  const beside = [...index.descendants([...nodes].flatMap(({ outputs }) => outputs))].filter(
    (node) => !after.has(node),
  );
  return [...nodes, ...beside].flatMap(({ outputs }) =>
    outputs.filter((name) => index.outputs.has(name) && name !== end),
  );
}
