import { elementCount } from '../../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../../checkpoints/lazy-tensor';
import type { OnnxFile, OnnxInitializer } from '../../../checkpoints/onnx-file';
import { attribute, copyWith, externalTensor, valueInfo as infoOf } from '../../../onnx/messages';
import type { NodeProto, ValueInfoProto } from '../../../onnx/proto/onnx_pb';
import { commonStep } from '../../width-pruning/weight-cuts';
import type { WidthTensor } from '../../width-pruning/weight-cuts';
import type { Width } from '../../width-pruning/width';
import type { Linear } from '../../parts/linear';
import { operatorName, intAttribute } from '../graph-index';
import type { GraphNode } from '../graph-index';
import type { OnnxModel } from '../stream/graph-stream';
import { lazyTensor } from './graph-linears';
import { fewBitsProduct } from './graph-matrices';
import type { GraphMatrices, GraphMatrix } from './graph-matrices';

/** Elementwise operators. Other inputs are scalars or have one number per channel. */
export const elementwise: ReadonlySet<string> = new Set([
  ...['Add', 'Sub', 'Mul', 'Div', 'Pow', 'Max', 'Min', 'PRelu'],
  ...['Relu', 'LeakyRelu', 'Elu', 'Gelu', 'Sigmoid', 'HardSigmoid', 'HardSwish', 'Swish', 'Mish'],
  ...['Tanh', 'Erf', 'Exp', 'Sqrt', 'Abs', 'Neg', 'Reciprocal', 'Softplus', 'Clip'],
  ...['Cast', 'Identity', 'QuantizeLinear', 'DequantizeLinear'],
  ...['com.microsoft:Gelu', 'com.microsoft:FastGelu', 'com.microsoft:BiasGelu'],
  ...['com.microsoft:QuickGelu'],
]);

/** Collects the tensors with a place for each channel, from the last layer of an MLP up. */
class Channels {
  public readonly tensors: WidthTensor[] = [];
  private readonly seen = new Set<string>();
  /** Scalars among the values, which other nodes may also read. */
  private readonly numbers = new Set<string>();
  private readonly nodes = new Set<GraphNode>();

  public constructor(
    private readonly source: OnnxModel,
    private readonly matrices: GraphMatrices,
    private readonly count: number,
  ) {}

  /** True if every value on the path to `value` has the channels as its last axis. */
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
    const matrix = this.matrices.of(node);
    return matrix === undefined
      ? elementwise.has(node.op) && node.inputs.every((input) => this.follow(input))
      : this.product(matrix);
  }

  /** True if only traced nodes and `last` read the values. */
  public isClosed(last: GraphNode): boolean {
    const { index } = this.source;
    return [...this.seen].every(
      (value) =>
        this.numbers.has(value) ||
        (!index.outputs.has(value) &&
          index
            .consumersOf(value)
            .every((reader) => reader === last || this.nodes.has(reader) || !index.isLive(reader))),
    );
  }

  private product({ out, linear, bias }: GraphMatrix): boolean {
    if (out !== this.count) {
      return false;
    }
    this.tensors.push({
      tensor: linear.weight,
      axis: linear.transposed === true ? 1 : 0,
      places: all,
    });
    return bias === '' || this.follow(bias);
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
      this.tensors.push({ tensor, axis: last, places: all });
      return true;
    }
    return false;
  }
}

const all: WidthTensor['places'] = (kept) => kept;

/** True if the output of a node is a scalar. */
function isNumber({ proto: { attribute } }: GraphNode): boolean {
  return attribute.every(
    ({ name, t }) =>
      name === 'value_float' || (t !== undefined && elementCount(t.dims.map(Number)) === 1),
  );
}

/** Channels of the MLP at `index`, if only elementwise operators connect its layers. */
export function findChannels(
  source: OnnxModel,
  index: number,
  matrices: GraphMatrices,
): Width | undefined {
  const down = matrices.last(index);
  if (down === undefined || source.place !== undefined) {
    return undefined;
  }
  const { linear, in: count } = down;
  const channels = new Channels(source, matrices, count);
  if (!channels.follow(down.input) || !channels.isClosed(down.node)) {
    return undefined;
  }
  const tensors = [...channels.tensors, channelInputs(linear, all)];
  const step = commonStep(tensors);
  return step !== undefined && step < count
    ? { of: 'channels', count, step, tensors, output: linear }
    : undefined;
}

/** The inputs of a matrix. */
export function channelInputs(
  { weight, transposed = false }: Linear,
  places: WidthTensor['places'],
): WidthTensor {
  return { tensor: weight, axis: transposed ? 0 : 1, places };
}

/** Returns the type info of an input with another shape. */
function resizedInput(input: ValueInfoProto, shape: readonly number[]): ValueInfoProto {
  const { name, type } = input;
  return type?.value.case === 'tensorType' ? infoOf(name, type.value.value.elemType, shape) : input;
}

/** Returns a matmul with size attributes for the quantized matrix [out, blocks, bytes]. */
function resizedProduct(node: NodeProto, { shape: [out = 0, blocks = 0] }: LazyTensor): NodeProto {
  const width = blocks * intAttribute(node, 'block_size', 32);
  return withAttributes(node, { N: out, K: width });
}

/** A node with other values of some of its attributes. */
export function withAttributes(
  node: NodeProto,
  values: Readonly<Record<string, number | readonly number[]>>,
): NodeProto {
  const others = node.attribute.filter(({ name }) => values[name] === undefined);
  const set = Object.entries(values).map(([name, value]) => attribute(name, value));
  return copyWith(node, { attribute: [...others, ...set] });
}

/**
 * Model file with some weights replaced.
 * @param resized values whose recorded sizes are no longer valid
 */
export function withTensors(
  file: OnnxFile,
  tensors: ReadonlyMap<string, LazyTensor>,
  resized: ReadonlySet<string>,
): OnnxFile {
  const placed = (data: OnnxInitializer): OnnxInitializer => {
    const own = tensors.get(data.name);
    return own === undefined
      ? data
      : {
          ...{ ...data, file: own.file, offset: own.offset, length: own.length },
          // Lists may have been cut as the matrices that they are.
          dims: data.dims.length === 1 ? [elementCount(own.shape)] : own.shape,
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
  // Older exporters also list weights as inputs, with their shapes. IR version 3 requires it.
  const input = file.graph.input.map((one) => {
    const own = tensors.get(one.name);
    return own === undefined ? one : resizedInput(one, own.shape);
  });
  const node = file.graph.node.map((one) => {
    const own = tensors.get(one.input[1] ?? '');
    return own !== undefined && operatorName(one) === fewBitsProduct
      ? resizedProduct(one, own)
      : one;
  });
  const valueInfo = file.graph.valueInfo.filter(({ name }) => !resized.has(name));
  const graph = copyWith(file.graph, { initializer, input, node, valueInfo });
  return { ...file, graph, model: copyWith(file.model, { graph }), initializers };
}
