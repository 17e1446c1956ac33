import type { GraphIndex, GraphNode } from '../../models/onnx/graph-index';
import { GraphStages } from '../../models/onnx/graph-stages';
import type { OnnxModel } from '../../models/onnx/stream/graph-stream';
import { nodesUnusedAfterRemoval, removeBranches } from '../../models/onnx/edits/removal-nodes';
import type { ResidualBranch } from '../../models/onnx/stream/residual-stream';

/** Position of a graph node in the diagram. */
export interface Place {
  /**
   * Id of a sublayer; with `+` appended for the surrounding parts of its block, such as the sum;
   * `front…`, `between…` or `behind` for nodes outside the blocks.
   */
  readonly key: string;
  readonly isInSublayer: boolean;
}

/** Assigns every drawn node to a residual branch or to a part outside the branches. */
export function placeNodes(
  { index, branches, summary }: OnnxModel,
  drawn: readonly GraphNode[],
): Map<GraphNode, Place> {
  const places = new Map<GraphNode, Place>();
  const { live } = removeBranches(index, []);
  const sublayerId = (i: number): string => summary.sublayers[i]?.id ?? String(i);
  for (const [i, branch] of branches.entries()) {
    for (const node of branchNodes(index, live, branch)) {
      if (!places.has(node)) {
        places.set(node, { key: sublayerId(i), isInSublayer: true });
      }
    }
  }
  const stages = new GraphStages(index, branches);
  const ends = new Map(branches.map(({ end }, i) => [end, i]));
  const fronts = streamFronts(index, branches);
  const last = 2 * branches.length;
  const found = drawn.map((node): [GraphNode, Place] => {
    const known = places.get(node);
    if (known !== undefined) {
      return [node, known];
    }
    const stage = Math.max(...node.outputs.map((output) => stages.of(output)));
    const made = node.outputs.flatMap((output) => ends.get(output) ?? [])[0];
    const around = made ?? (stage % 2 === 1 ? (stage - 1) / 2 : undefined);
    const key =
      around !== undefined
        ? `${sublayerId(around)}+`
        : stage === 0 && branches.length > 0
          ? (fronts.get(node) ?? 'front.side')
          : stage === last
            ? 'behind'
            : `between.${stage / 2}`;
    return [node, { key, isInSublayer: false }];
  });
  return new Map(found);
}

/** Nodes of a branch alone, without the sum that adds it to the stream and the norm of that sum. */
function branchNodes(
  index: GraphIndex,
  live: ReadonlySet<GraphNode>,
  branch: ResidualBranch,
): Set<GraphNode> {
  const behind = new Set(branch.terms.flatMap((term) => [...index.between(term, branch.end)]));
  const own = new Set<GraphNode>();
  const sublayerNodes = [...nodesUnusedAfterRemoval(index, live, branch)].sort(
    (a, b) => a.order - b.order,
  );
  for (const node of sublayerNodes) {
    const isOwn = node.inputs.every((input) => {
      const producer = index.producers.get(input);
      return index.constants.has(input) || (producer !== undefined && own.has(producer));
    });
    if (!behind.has(node) || isOwn) {
      own.add(node);
    }
  }
  return own;
}

/**
 * Nodes that compute the first value of each stream. Nodes that streams share belong to the first
 * stream.
 */
function streamFronts(
  index: GraphIndex,
  branches: readonly ResidualBranch[],
): ReadonlyMap<GraphNode, string> {
  const fronts = new Map<GraphNode, string>();
  const heads = branches.filter((_, i) => branches[i - 1]?.joined !== true);
  for (const [i, { start }] of heads.entries()) {
    const open = [start];
    for (let value = open.pop(); value !== undefined; value = open.pop()) {
      const node = index.producers.get(value);
      if (node !== undefined && !fronts.has(node)) {
        fronts.set(node, `front.${i}`);
        open.push(...node.inputs);
      }
    }
  }
  return fronts;
}
