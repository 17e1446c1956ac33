import type { OnnxFile } from '../../../checkpoints/onnx-file';
import type { NodeProto } from '../../../onnx/proto/onnx_pb';
import type { GraphIndex, GraphNode } from '../graph-index';
import type { Mixture } from '../mixtures/mixture';
import type { OnnxSummary, OnnxPort } from '../onnx-summary';
import type { ResidualBranch } from './residual-stream';
import type { Wrapping, Scope } from '../edits/wrapped-graph';
import { UserError } from '../../../user-error';
import type { ModelOutput } from '../../layered-model';
import { removeBranches } from '../edits/removal-nodes';
import { say } from '../../../message';
import { intAttribute } from '../graph-index';
import { ValueShapes } from '../values/value-shapes';

/** An ONNX model with the removable branches of its residual stream. */
export interface OnnxModel {
  /** File whose graph `index` describes. */
  readonly file: OnnxFile;
  /** Index of the stored graph, with parallel branches added in sequence. */
  readonly index: GraphIndex;
  readonly branches: readonly ResidualBranch[];
  readonly summary: OnnxSummary;
  /** MoE layers with removable experts, by branch. */
  readonly mixtures: ReadonlyMap<number, Mixture>;
  /**
   * Graph of the other branch, if the layers are inside an If. The If of this model's graph is replaced by the branch
   * with fewer inputs, such as the one without cache.
   */
  readonly other?: OnnxMode;
  readonly place?: PlaceInFile;
  /** Bytes of weights in memory, by name, if they don't run as float32. */
  readonly memory?: ReadonlyMap<string, number>;
}

export type StreamOfGraph = Pick<OnnxModel, 'file' | 'index' | 'branches'>;

/** Location of the nodes of a flat graph in the file. */
export interface PlaceInFile {
  readonly wrapping: Wrapping;
  readonly scopeOf: (proto: NodeProto) => Scope;
}

/** One of the two If branches. Both have the same sublayers in the same order, or this one has none. */
export type OnnxMode = StreamOfGraph & { readonly place: PlaceInFile };

/** The output that a graph is compared by. */
export interface MainOutput extends ModelOutput {
  /** Computed value. It excludes a final softmax, which distances apply themselves. */
  readonly value: string;
}

const scoreNames = /logits|scores|prob|class/i;
/** [batch, channels, height, width]: a map, not scores of classes. */
const mapRank = 4;

/** The output to compare models by: logits where there are any, else the first that the stream leads to. */
export function mainOutput({ index, branches, file, summary }: OnnxModel): MainOutput {
  const { droppedOutputs } = removeBranches(index, branches);
  const last = branches.at(-1);
  const behind = last === undefined ? undefined : index.descendants([last.end]);
  const outputs = file.graph.output.filter(({ name }) => {
    const producer = index.producers.get(name);
    const follows =
      behind === undefined ||
      name === last?.end ||
      (producer !== undefined && behind.has(producer));
    return follows && !droppedOutputs.has(name);
  });
  const chosen = outputs.find(({ name }) => name === 'logits') ?? outputs[0];
  if (chosen === undefined) {
    throw new UserError(
      'output-not-of-stream',
      say`No output of the graph depends on its residual stream.`,
      { file: file.path, remedy: say`Export the model again.` },
    );
  }
  const { name } = chosen;
  const rank = summary.outputs.find((port) => port.name === name)?.shape?.length ?? 0;
  const producer = index.producers.get(name);
  const activation = producer && lastActivation(producer, rank, summary.opset);
  return {
    name,
    value: (activation && producer.inputs[0]) ?? name,
    givesProbabilities: producer !== undefined && /^(?:Hard)?Sigmoid$|^Softmax$/.test(producer.op),
    givesScores: activation !== undefined || (rank < mapRank && scoreNames.test(name)),
    ...(activation === undefined ? {} : { activation }),
  };
}

/** A softmax over the last axis. */
function lastActivation(
  { op, proto }: GraphNode,
  rank: number,
  opset: number,
): ModelOutput['activation'] {
  const attribute = proto.attribute.find(({ name }) => name === 'axis');
  const axis = attribute === undefined ? (opset < 13 ? 1 : -1) : Number(attribute.i);
  const isLast = axis === -1 || axis === rank - 1;
  return isLast && (op === 'Softmax' || op === 'LogSoftmax') ? op : undefined;
}

const attention = 'com.microsoft:GroupQueryAttention';
/** Input indices of past keys and values. */
const caches = [3, 4];
/** Input index of the rotary cosines. */
const cosines = 7;

/**
 * Ports with the head size filled in for caches [batch, heads, past, headSize]. onnxruntime-genai leaves it dynamic
 * although only the size of the queries works.
 */
export function fillCacheWidths(
  ports: readonly OnnxPort[],
  { index, file: { graph } }: StreamOfGraph,
): OnnxPort[] {
  const isOpen = ({ shape }: OnnxPort): boolean =>
    shape?.length === 4 && typeof shape[3] !== 'number';
  const open = new Set(ports.filter(isOpen).map(({ name }) => name));
  const readers = attentions(index).filter(({ proto }) =>
    caches.some((place) => open.has(proto.input[place] ?? '')),
  );
  if (readers.length === 0) {
    return [...ports];
  }
  const shapes = new ValueShapes(graph, index);
  const widths = new Map(
    readers.flatMap(({ proto }) => {
      const width = headSize(proto, shapes);
      return caches.map((place) => [proto.input[place] ?? '', width] as const);
    }),
  );
  return ports.map((port) => {
    const width = isOpen(port) ? widths.get(port.name) : undefined;
    return width === undefined
      ? port
      : { ...port, shape: [...(port.shape?.slice(0, 3) ?? []), width] };
  });
}

function headSize(node: NodeProto, shapes: ValueShapes): number | undefined {
  const size = Number(shapes.of(node.output[0] ?? '')?.at(-1)) / intAttribute(node, 'num_heads', 0);
  return Number.isInteger(size) && size > 0 ? size : undefined;
}

/** Number of positions in the rotary tables of a graph; undefined if it has none. */
export function rotatedPositions({ index, file }: StreamOfGraph): number | undefined {
  const rows = attentions(index).flatMap(({ proto }) =>
    intAttribute(proto, 'do_rotary', 0) === 0
      ? []
      : (file.initializers.get(proto.input[cosines] ?? '')?.dims[0] ?? []),
  );
  return rows.length === 0 ? undefined : Math.min(...rows);
}

function attentions({ nodes }: GraphIndex): GraphNode[] {
  return nodes.filter(({ op }) => op === attention);
}
