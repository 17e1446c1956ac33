import type { GraphIndex, GraphNode } from '../../models/onnx/graph-index';
import { GraphStages } from '../../models/onnx/graph-stages';
import type { OnnxModel } from '../../models/onnx/stream/graph-stream';
import { nodesGone, removeBranches } from '../../models/onnx/edits/removal-nodes';
import type { ResidualBranch } from '../../models/onnx/stream/residual-stream';

/** Where a node of a graph is drawn. */
export interface Place {
  /**
   * Id of a sublayer; the same with `+` for what its block has around it, such as the sum; `front…`,
   * `between…` or `behind` for what lies outside of the blocks.
   */
  readonly key: string;
  readonly inSublayer: boolean;
}

/** Gives every drawn node its place, by the residual branches of the graph. */
export function placeNodes(
  { index, branches, summary }: OnnxModel,
  drawn: readonly GraphNode[],
): Map<GraphNode, Place> {
  const places = new Map<GraphNode, Place>();
  const { live } = removeBranches(index, []);
  const idOf = (i: number): string => summary.sublayers[i]?.id ?? String(i);
  for (const [i, branch] of branches.entries()) {
    for (const node of branchNodes(index, live, branch)) {
      if (!places.has(node)) {
        places.set(node, { key: idOf(i), inSublayer: true });
      }
    }
  }
  const stages = new GraphStages(index, branches);
  const ends = new Map(branches.map(({ end }, i) => [end, i]));
  const fronts = frontsOf(index, branches);
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
        ? `${idOf(around)}+`
        : stage === 0 && branches.length > 0
          ? (fronts.get(node) ?? 'front.side')
          : stage === last
            ? 'behind'
            : `between.${stage / 2}`;
    return [node, { key, inSublayer: false }];
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
  const gone = [...nodesGone(index, live, branch)].sort((a, b) => a.order - b.order);
  for (const node of gone) {
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

/** What the first value of each stream is made of; of shared nodes, the first stream has them. */
function frontsOf(
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
