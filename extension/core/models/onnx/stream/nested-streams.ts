import type { OnnxFile } from '../../../checkpoints/onnx-file';
import type { NodeProto } from '../../../onnx/proto/onnx_pb';
import { hasWeightsByKind } from './classify';
import { GraphIndex } from '../graph-index';
import type { GraphNode } from '../graph-index';
import { findCandidates } from './residual-candidates';
import type { StreamOfGraph } from './stream-of-graph';
import type { Message } from '../../../message';
import { say } from '../../../message';

/** Why a graph has no sublayer: where its residual stream lies if it has one after all, or what it has instead. */
export function explainNoSublayers({ graph, path }: OnnxFile, index: GraphIndex): Message {
  if ([...index.outputs].every((name) => index.constants.has(name))) {
    return say`The outputs of the graph are constants: it computes nothing from its inputs.`;
  }
  const found = streamsWithin(graph.node, path, index.constants);
  if (found.length > 0) {
    return say`The residual stream is inside ${found.join(' and ')}, where sublayers cannot be removed. Export the layers as a graph without Loop, Scan and nested If.`;
  }
  const folded = index.nodes.filter(isFolded).length;
  if (folded > 0) {
    return say`ONNX Runtime's optimizer has fused the sums of the residual stream into ${folded} convolutions. Use the model from before the optimizer.`;
  }
  const dense = index.nodes.filter((node) => isDense(node, index)).length;
  return dense > 0
    ? say`The graph has no residual branch: its layers hand on what they read by Concat (${dense} times, dense connections), so that the next layers have weights for it and none can be removed.`
    : say`The graph has no residual branch, so there is no sublayer to remove.`;
}

/** What is said of layers inside of bodies, beside those of the main graph; what goes with a sublayer belongs to that. */
export function explainOtherStreams({ file, index, branches }: StreamOfGraph): Message[] {
  const own = new Set(branches.flatMap(({ nodes }) => [...nodes].map(({ proto }) => proto)));
  const others = new Set(index.nodes.map(({ proto }) => proto).filter((one) => !own.has(one)));
  const found = streamsWithin([...others], file.path, index.constants);
  return found.length === 0
    ? []
    : [
        say`The layers inside ${found.join(' and ')} stay as they are: sublayers can't be removed there. Export those layers as a graph without Loop, Scan and nested If.`,
      ];
}

/** A convolution that adds a value to its result. */
function isFolded({ op, proto }: GraphNode): boolean {
  const adds = /^com\.microsoft(?:\.nchwc)?:(?:FusedConv|Conv|NhwcFusedConv)$/.test(op);
  return adds && (proto.input[3] ?? '') !== '';
}

/** Most ways that are looked at for one Concat. */
const maxJoined = 4;

/** A Concat of a value and of what weights make of it. */
function isDense({ op, inputs }: GraphNode, index: GraphIndex): boolean {
  const joined = op === 'Concat' ? inputs.slice(0, maxJoined) : [];
  return joined.some((one) =>
    joined.some(
      (other) =>
        one !== other &&
        !index.constants.has(one) &&
        [...index.between(one, other)].some((node) => hasWeightsByKind(node.op)),
    ),
  );
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
