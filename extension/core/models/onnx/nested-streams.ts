import type { OnnxFile } from '../../checkpoints/onnx-file';
import type { NodeProto } from '../../onnx/proto/onnx_pb';
import { GraphIndex } from './graph-index';
import { findCandidates } from './residual-candidates';

/** Why a graph has no sublayer, and where its residual stream lies if it has one after all. */
export function explainNoSublayers({ graph, path }: OnnxFile, { constants }: GraphIndex): string {
  const found = streamsWithin(graph.node, path, constants);
  return found.length > 0
    ? `The residual stream lies inside of ${found.join(' and ')}, where sublayers cannot be removed. Export the decoder as graphs without If: one that takes no cache, and one that always takes it.`
    : 'The graph has no residual branch, so there is no sublayer to remove.';
}

/** Nested graphs that hold residual branches, in words. */
function streamsWithin(
  nodes: readonly NodeProto[],
  path: string,
  constants: ReadonlySet<string>,
): string[] {
  return nodes.flatMap(({ attribute, opType, name, output }) =>
    attribute.flatMap(({ name: branch, g, graphs }) =>
      [...(g === undefined ? [] : [g]), ...graphs].flatMap((graph) => {
        const index = new GraphIndex(graph, path, constants);
        const count = findCandidates(index).length;
        const label = name === '' ? (output[0] ?? '') : name;
        return [
          ...(count > 0 ? [`${branch} of ${opType} ${label} (${count} branches)`] : []),
          ...streamsWithin(graph.node, path, index.constants),
        ];
      }),
    ),
  );
}
