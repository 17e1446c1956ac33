import { nestedGraphs } from '../../../checkpoints/nested-weights';
import { copyWith } from '../../../onnx/messages';
import type { GraphProto, NodeProto } from '../../../onnx/proto/onnx_pb';
import { flatten } from '../edits/wrapped-graph';
import { operatorName } from '../graph-index';
import { isRepeating } from './known-steps';

/** Graph whose nodes run at most once: the main graph, or a branch of an If in such a graph. */
export interface Place {
  readonly graph: GraphProto;
  /** The main graph with the branches that lead to it in the places of their Ifs. */
  readonly flat: GraphProto;
  /** Returns the main graph with this graph replaced. */
  readonly main: (graph: GraphProto) => GraphProto;
}

export function mainPlace(graph: GraphProto): Place {
  return { graph, flat: graph, main: (other) => other };
}

/** More Ifs than this are no choice between ways through the layers. */
export const maxChoices = 8;

/** Branches that contain loops, of the first Ifs in a graph and recursively of their Ifs. */
export function branchesIn({ graph, flat, main }: Place): Place[] {
  const choices = graph.node
    .filter((one) => operatorName(one) === 'If' && holdsLoop(one))
    .slice(0, maxChoices);
  return choices.flatMap((node) =>
    flatten(flat, node).flatMap(({ graph: inlined, wrapping: { branch } }) => {
      const place: Place = {
        graph: branch,
        flat: inlined,
        main: (other) => {
          const attributes = node.attribute.map((one) =>
            one.g === branch ? copyWith(one, { g: other }) : one,
          );
          const choice = copyWith(node, { attribute: attributes });
          return main(
            copyWith(graph, { node: graph.node.map((one) => (one === node ? choice : one)) }),
          );
        },
      };
      return [place, ...branchesIn(place)];
    }),
  );
}

function holdsLoop(node: NodeProto): boolean {
  return nestedGraphs(node).some((graph) =>
    graph.node.some((one) => isRepeating(one) || holdsLoop(one)),
  );
}
