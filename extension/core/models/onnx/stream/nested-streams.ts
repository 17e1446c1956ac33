import type { OnnxFile } from '../../../checkpoints/onnx-file';
import type { GraphProto, NodeProto } from '../../../onnx/proto/onnx_pb';
import { intAttribute, GraphIndex } from '../graph-index';
import { hasWeightsByKind } from './classify';
import { explainNotUnrolled } from '../loops/unroll-loops';
import type { GraphNode } from '../graph-index';
import { findCandidates } from './residual-candidates';
import type { StreamOfGraph } from './graph-stream';
import type { Message } from '../../../message';
import { joined, say } from '../../../message';

/**
 * Explains why a graph has no sublayer: names the nested graph with the residual stream, or describes the structure
 * found.
 */
export function explainNoSublayers(file: OnnxFile, index: GraphIndex): Message {
  const { graph, path } = file;
  if ([...index.outputs].every((name) => index.constants.has(name))) {
    return say`The outputs of the graph are constants: they don't depend on its inputs.`;
  }
  const found = streamsWithin(graph.node, path, index.constants);
  if (found.length > 0) {
    return joined([
      say`The residual stream is inside ${describePlaces(found)}, where sublayers cannot be removed.`,
      ...whyThere(file, found),
      asGraph,
    ]);
  }
  const folded = index.nodes.filter(isFolded).length;
  if (folded > 0) {
    return say`An optimizer of ONNX Runtime has fused the sums of the residual stream into ${folded} convolutions. Use the model from before optimization.`;
  }
  const dense = index.nodes.filter((node) => isDense(node, index)).length;
  return dense > 0
    ? say`The graph has no residual branch: its layers pass on their inputs with Concat (${dense} times, dense connections), so the next layers have weights for them and none can be removed.`
    : say`The graph has no residual branch, so there is no sublayer to remove.`;
}

/** Explains layers in subgraphs that aren't part of a sublayer of the main graph. */
export function explainOtherStreams({ file, index, branches }: StreamOfGraph): Message[] {
  const own = new Set(branches.flatMap(({ nodes }) => [...nodes].map(({ proto }) => proto)));
  const others = new Set(index.nodes.map(({ proto }) => proto).filter((one) => !own.has(one)));
  const found = streamsWithin([...others], file.path, index.constants);
  return found.length === 0
    ? []
    : [
        joined([
          say`The layers inside ${describePlaces(found)} remain unchanged: sublayers can't be removed there.`,
          ...whyThere(file, found),
          asGraph,
        ]),
      ];
}

const asGraph = say`Export those layers as a graph without Loop, Scan or nested If.`;

/** Operators of ONNX Runtime that run a decoder, which they hold, for each token. */
const generation = /^(?:BeamSearch|GreedySearch|Sampling)$/;

/** Why each of these nodes keeps its layers to itself. */
function whyThere(file: OnnxFile, found: readonly NestedStream[]): Message[] {
  return [...new Set(found.map(({ node }) => node))].flatMap((node) =>
    generation.test(node.opType)
      ? say`${node.opType} runs its decoder for each token: open the decoder as a separate model.`
      : (explainNotUnrolled(file, node) ?? []),
  );
}

function describePlaces(found: readonly NestedStream[]): string {
  return found.map(({ label }) => label).join(' and ');
}

/** A convolution that adds a value to its result. */
function isFolded({ op, proto }: GraphNode): boolean {
  const adds = /^com\.microsoft(?:\.nchwc)?:(?:FusedConv|Conv|NhwcFusedConv)$/.test(op);
  return adds && (proto.input[3] ?? '') !== '';
}

/** Most ways that are looked at for one Concat. */
const maxJoined = 4;

/** Concat of a value with a value computed from it by weights, as in DenseNet. */
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

interface NestedStream {
  readonly node: NodeProto;
  /** Display name of the location. */
  readonly label: string;
}

/** Nested graphs that contain residual branches. */
function streamsWithin(
  nodes: readonly NodeProto[],
  path: string,
  constants: ReadonlySet<string>,
): NestedStream[] {
  return nodes.flatMap((node) =>
    node.attribute.flatMap(({ name: branch, g, graphs }) =>
      [...(g === undefined ? [] : [g]), ...graphs].flatMap((graph): NestedStream[] => {
        const inside = [...constants, ...constantInputs(node, graph, constants)];
        const index = new GraphIndex(graph, path, inside);
        const count = findCandidates(index).length;
        const name = node.name === '' ? (node.output[0] ?? '') : node.name;
        const label = `${branch} of ${node.opType} ${name} (${count} branches)`;
        return [
          ...(count > 0 ? [{ node, label }] : []),
          ...streamsWithin(graph.node, path, index.constants),
        ];
      }),
    ),
  );
}

/** Inputs of a body that don't depend on any input of the graph: the step number, and slices of constants. */
function constantInputs(
  node: NodeProto,
  { input }: GraphProto,
  constants: ReadonlySet<string>,
): string[] {
  const names = input.map(({ name }) => name);
  if (node.opType === 'Loop') {
    return names.slice(0, 1);
  }
  const items = intAttribute(node, 'num_scan_inputs', 0);
  return items === 0
    ? []
    : names.slice(-items).filter((_, i) => constants.has(node.input.slice(-items)[i] ?? ''));
}
