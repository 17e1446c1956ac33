import { toBinary } from '@bufbuild/protobuf';
import { TypeProtoSchema } from '../../../onnx/proto/onnx_pb';
import { isShape } from '../graph-index';
import type { GraphIndex, GraphNode } from '../graph-index';
import type { ResidualBranch } from '../stream/residual-stream';

/** Graph after the removal of branches. */
export interface RemainingGraph {
  /** Nodes that still lead to an output. */
  readonly live: ReadonlySet<GraphNode>;
  /** Outputs of the graph that only the branches produced, such as their keys and values. */
  readonly droppedOutputs: ReadonlySet<string>;
  /** Returns the replacement of `value`, or `value` itself. */
  readonly resolve: (value: string) => string;
}

/** The removed values, their replacements and the nodes of a branch. */
export type RemovedBranch = Pick<ResidualBranch, 'start' | 'sum' | 'rest' | 'nodes'>;

/** Graph outputs that these branches compute in addition to the stream. */
export function ignoredOutputs(
  index: GraphIndex,
  branches: readonly RemovedBranch[],
): ReadonlySet<string> {
  return new Set(branches.flatMap((branch) => sideOutputs(index, branch)));
}

/**
 * Replaces the sum of each branch by its start, and finds the nodes that are still needed without
 * the graph outputs `ignored`.
 */
export function removeBranches(
  index: GraphIndex,
  branches: readonly RemovedBranch[],
  ignored: ReadonlySet<string> = ignoredOutputs(index, branches),
): RemainingGraph {
  const aliases = new Map(branches.map(({ start, sum, rest }) => [sum, rest ?? start]));
  const resolve = (value: string): string => {
    let name = value;
    for (let next = aliases.get(name); next !== undefined; next = aliases.get(name)) {
      name = next;
    }
    return name;
  };
  const live = new Set<GraphNode>();
  const open = [...index.outputs].filter((name) => !ignored.has(name)).map(resolve);
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    const node = index.producers.get(value);
    if (node !== undefined && !live.has(node)) {
      live.add(node);
      node.inputs.forEach((input) => open.push(resolve(input)));
    }
  }
  if (branches.length > 0) {
    replaceCaches(index, live, aliases);
  }
  const droppedOutputs = new Set([...ignored].filter((name) => !isMade(name, index, live)));
  return { live, droppedOutputs, resolve };
}

/** True if a value is still computed, for example for its shape. Its cache then still grows from step to step. */
function isMade(value: string, index: GraphIndex, live: ReadonlySet<GraphNode>): boolean {
  const producer = index.producers.get(value);
  return producer !== undefined && live.has(producer);
}

/**
 * Graphs read the number of past tokens from the first cache. If its attention was removed, another cache
 * of the same shape replaces it.
 */
function replaceCaches(
  index: GraphIndex,
  live: ReadonlySet<GraphNode>,
  aliases: Map<string, string>,
): void {
  const ports = index.inputs.map((port) => {
    const readers = index.consumersOf(port.name).filter((reader) => live.has(reader));
    const { type } = port;
    const shape = type === undefined ? '' : toBinary(TypeProtoSchema, type).join();
    return { name: port.name, shape, readers, isRead: !readers.every(isShape) };
  });
  for (const { name, shape, readers, isRead } of ports) {
    const wasRead = !index.consumersOf(name).every(isShape);
    const other = ports.find((port) => port.isRead && port.shape === shape);
    if (readers.length > 0 && !isRead && wasRead && other !== undefined) {
      aliases.set(name, other.name);
    }
  }
}

/**
 * Nodes that become unused if a single branch is removed and the `unwanted` outputs are dropped. `live` are the nodes
 * in use before. Same result as {@link removeBranches}, in time proportional to the branch instead of the graph.
 */
export function nodesUnusedAfterRemoval(
  index: GraphIndex,
  live: ReadonlySet<GraphNode>,
  branch: RemovedBranch,
  unwanted: readonly string[] = [],
): ReadonlySet<GraphNode> {
  const { start, sum } = branch;
  const dropped = [...sideOutputs(index, branch), ...unwanted];
  const remainingOutputs = new Set([...index.outputs].filter((name) => !dropped.includes(name)));
  const deadNodes = new Set<GraphNode>();
  const isUnread = (value: string): boolean =>
    value === sum ||
    (value !== start &&
      !remainingOutputs.has(value) &&
      index.consumersOf(value).every((reader) => deadNodes.has(reader) || !live.has(reader)));
  const open = [sum, ...dropped].flatMap((value) => index.producers.get(value) ?? []);
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    if (live.has(node) && !deadNodes.has(node) && node.outputs.every(isUnread)) {
      deadNodes.add(node);
      for (const input of node.inputs) {
        const producer = index.producers.get(input);
        if (producer !== undefined) {
          open.push(producer);
        }
      }
    }
  }
  return deadNodes;
}

/** Graph outputs that a branch computes in addition to the stream. */
function sideOutputs(index: GraphIndex, { sum, nodes }: RemovedBranch): string[] {
  const ignored = index.descendants(
    [...nodes].flatMap(({ outputs }) => outputs),
    sum,
  );
  const made = [...nodes, ...ignored].flatMap(({ outputs }) =>
    outputs.filter((name) => index.outputs.has(name) && name !== sum),
  );
  if (made.length === 0) {
    return [];
  }
  const after = new Set([...index.descendants([sum])].flatMap(({ outputs }) => outputs));
  return made.filter((name) => !after.has(name));
}
