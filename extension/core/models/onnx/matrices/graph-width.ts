import { elementCount } from '../../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../../checkpoints/lazy-tensor';
import type { OnnxFile, OnnxInitializer } from '../../../checkpoints/onnx-file';
import { copyWith, externalTensor, valueInfo } from '../../../onnx/messages';
import type { ValueInfoProto } from '../../../onnx/proto/onnx_pb';
import type { Width, WidthTensor } from '../../narrow/width';
import type { GraphNode } from '../graph-index';
import type { OnnxModel } from '../stream/stream-of-graph';
import { lazyTensor } from './graph-linears';
import type { GraphLinear } from './graph-linears';

/** Operators that change each number by itself; what else they read has one number, or one for each channel. */
const elementwise: ReadonlySet<string> = new Set([
  ...['Add', 'Sub', 'Mul', 'Div', 'Pow', 'Max', 'Min', 'PRelu'],
  ...['Relu', 'LeakyRelu', 'Elu', 'Gelu', 'Sigmoid', 'HardSigmoid', 'HardSwish', 'Swish', 'Mish'],
  ...['Tanh', 'Erf', 'Exp', 'Sqrt', 'Abs', 'Neg', 'Reciprocal', 'Softplus', 'Clip'],
  ...['Cast', 'Identity'],
  ...['com.microsoft:Gelu', 'com.microsoft:FastGelu', 'com.microsoft:BiasGelu'],
  ...['com.microsoft:QuickGelu'],
]);

/** Collects the tensors with a place for each channel, from the last layer of a feed-forward up. */
class Channels {
  public readonly tensors: WidthTensor[] = [];
  private readonly seen = new Set<string>();
  /** Those of them that are one number for all channels, which others may read too. */
  private readonly numbers = new Set<string>();
  private readonly nodes = new Set<GraphNode>();
  private readonly layerOf: ReadonlyMap<GraphNode, GraphLinear>;

  public constructor(
    private readonly source: OnnxModel,
    layers: readonly GraphLinear[],
    private readonly count: number,
  ) {
    this.layerOf = new Map(
      layers.flatMap((layer) => layer.nodes.map((node) => [node, layer] as const)),
    );
  }

  /** Whether every value on the way to `value` is known to have the channels as its last axis. */
  public follow(value: string): boolean {
    if (this.seen.has(value)) {
      return true;
    }
    this.seen.add(value);
    const data = this.source.file.initializers.get(value);
    if (data !== undefined) {
      return this.constant(data);
    }
    const node = this.source.index.producers.get(value);
    if (node?.outputs.filter((name) => name !== '').length !== 1) {
      return false;
    }
    this.nodes.add(node);
    if (node.op === 'Constant') {
      this.numbers.add(value);
      return isNumber(node);
    }
    const layer = this.layerOf.get(node);
    return layer === undefined
      ? elementwise.has(node.op) && node.inputs.every((input) => this.follow(input))
      : this.product(node, layer);
  }

  /** Whether nothing reads the values but what has been followed, and `last`. */
  public isClosed(last: GraphNode): boolean {
    const { index } = this.source;
    return [...this.seen].every(
      (value) =>
        this.numbers.has(value) ||
        (!index.outputs.has(value) &&
          index.consumersOf(value).every((reader) => reader === last || this.nodes.has(reader))),
    );
  }

  private product(node: GraphNode, layer: GraphLinear): boolean {
    const [, , bias = ''] = node.proto.input;
    const isOwn = layer.out === this.count && isPlain(layer);
    if (isOwn) {
      this.add(layer.weight, layer.transposed ? 1 : 0);
    }
    return isOwn && (bias === '' || this.follow(bias));
  }

  private constant(data: OnnxInitializer): boolean {
    const last = data.dims.length - 1;
    if (elementCount(data.dims) === 1) {
      this.numbers.add(data.name);
      return true;
    }
    const [tensor] = lazyTensor(data);
    const isOne = tensor !== undefined && elementCount(data.dims) === this.count;
    if (isOne && data.dims[last] === this.count) {
      this.add(tensor, last);
      return true;
    }
    return false;
  }

  private add(tensor: LazyTensor, axis: number): void {
    this.tensors.push({ tensor, axis, places: (kept) => kept });
  }
}

/** Whether a node gives a single number, whatever reads it. */
function isNumber({ proto: { attribute } }: GraphNode): boolean {
  return attribute.every(
    ({ name, t }) =>
      name === 'value_float' || (t !== undefined && elementCount(t.dims.map(Number)) === 1),
  );
}

/** Whether a matrix is read once, as it is, by products of rows. */
function isPlain({ form, use: { products, between } }: GraphLinear): boolean {
  const [product, ...others] = products;
  const isRead = product !== undefined && product.map === undefined && others.length === 0;
  return isRead && form === undefined && between.length === 0;
}

/** The channels of a feed-forward with these layers, where what lies between them changes each number by itself. */
export function channelsOf(source: OnnxModel, layers: readonly GraphLinear[]): Width | undefined {
  const kind = source.summary.sublayers[layers[0]?.sublayer ?? -1]?.kind;
  const down = layers.find(({ role }) => role === 'down');
  const [node] = down?.nodes ?? [];
  const [product] = down?.products ?? [];
  if (kind !== 'feedforward' || down === undefined || node === undefined || !isPlain(down)) {
    return undefined;
  }
  const count = down.in;
  const channels = new Channels(source, layers, count);
  if (
    source.place !== undefined ||
    !channels.follow(product?.input ?? '') ||
    !channels.isClosed(node)
  ) {
    return undefined;
  }
  const { weight, transposed } = down;
  const inputs: WidthTensor = { tensor: weight, axis: transposed ? 0 : 1, places: (kept) => kept };
  return {
    ...{ of: 'channels', count, step: 1 },
    tensors: [...channels.tensors, inputs],
    output: { weight, transposed },
  };
}

/** What is said of an input, with other sizes. */
function resizedInput(input: ValueInfoProto, shape: readonly number[]): ValueInfoProto {
  const { name, type } = input;
  return type?.value.case === 'tensorType'
    ? valueInfo(name, type.value.value.elemType, shape)
    : input;
}

/** A file with other tensors in the places of some of its weights; notes of the sizes of values go. */
export function withTensors(file: OnnxFile, tensors: ReadonlyMap<string, LazyTensor>): OnnxFile {
  const placed = (data: OnnxInitializer): OnnxInitializer => {
    const own = tensors.get(data.name);
    return own === undefined
      ? data
      : {
          ...{ ...data, dims: own.shape, file: own.file, offset: own.offset, length: own.length },
          ...{ inline: undefined, mappable: true },
        };
  };
  const initializers = new Map([...file.initializers].map(([name, data]) => [name, placed(data)]));
  const initializer = file.graph.initializer.map((tensor) => {
    const data = tensors.has(tensor.name) ? initializers.get(tensor.name) : undefined;
    return data === undefined
      ? tensor
      : externalTensor({ ...data, shape: data.dims }, { location: '', offset: 0 });
  });
  // Older exporters list weights as inputs too, with their sizes; those of IR version 3 must stand there.
  const input = file.graph.input.map((one) => {
    const own = tensors.get(one.name);
    return own === undefined ? one : resizedInput(one, own.shape);
  });
  const graph = copyWith(file.graph, { initializer, input, valueInfo: [] });
  return { ...file, graph, model: copyWith(file.model, { graph }), initializers };
}
