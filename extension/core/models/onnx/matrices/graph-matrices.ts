import type { Grid, LazyTensor, PackedMatrix } from '../../../checkpoints/lazy-tensor';
import { elementCount, packedDType } from '../../../checkpoints/lazy-tensor';
import type { OnnxInitializer } from '../../../checkpoints/onnx-file';
import type { Linear } from '../../parts/linear';
import type { GraphNode } from '../graph-index';
import { intAttribute } from '../graph-index';
import type { OnnxModel } from '../stream/graph-stream';
import { encodingDTypes, lazyTensor } from './graph-linears';
import type { GraphLinear } from './graph-linears';

/** A matrix by which a node multiplies rows, in floats or quantized. */
export interface GraphMatrix {
  readonly node: GraphNode;
  /** The rows. */
  readonly input: string;
  /** Name of the added bias; empty if there is none. */
  readonly bias: string;
  readonly linear: Linear;
  readonly out: number;
  readonly in: number;
}

/** Multiplies by blocks of few bits: A, B [out, blocks, bytes], scales, zeros, groups, bias. */
export const fewBitsProduct = 'com.microsoft:MatMulNBits';
const dequantizes = 'DequantizeLinear';

/** The matrices of a graph by the nodes that multiply by them. */
export class GraphMatrices {
  private readonly layerOf: ReadonlyMap<GraphNode, GraphLinear>;

  public constructor(
    private readonly source: OnnxModel,
    layers: readonly GraphLinear[],
  ) {
    this.layerOf = new Map(
      layers.flatMap((layer) => layer.nodes.map((node) => [node, layer] as const)),
    );
  }

  public of(node: GraphNode): GraphMatrix | undefined {
    const layer = this.layerOf.get(node);
    const [input = '', , bias = ''] = node.proto.input;
    if (layer !== undefined) {
      const { weight, transposed, out, in: width } = layer;
      return isPlain(layer)
        ? { node, input, bias, linear: { weight, transposed }, out, in: width }
        : undefined;
    }
    switch (node.op) {
      case fewBitsProduct: {
        const matrix = this.blocks(node);
        return matrix && made(node, node.proto.input[5] ?? '', matrix, false);
      }
      case 'MatMul': {
        const matrix = this.dequantized(node.proto.input[1] ?? '');
        return matrix && made(node, '', matrix, true);
      }
      case 'Gemm': {
        const matrix = this.dequantized(node.proto.input[1] ?? '');
        const isTransposed = intAttribute(node.proto, 'transB', 0) === 0;
        return matrix && made(node, bias, matrix, isTransposed);
      }
      default:
        return undefined;
    }
  }

  /** Last matmul of a branch. */
  public last(index: number): GraphMatrix | undefined {
    const branch = this.source.branches[index];
    const products = [...(branch?.nodes ?? [])].flatMap((node) => this.of(node) ?? []);
    const nodes = new Set(products.map(({ node }) => node));
    return products.find(({ node }) => {
      const behind = this.source.index.descendants(node.outputs, branch?.end ?? '');
      return ![...behind].some((one) => one !== node && nodes.has(one));
    });
  }

  private blocks({ proto }: GraphNode): PackedMatrix | undefined {
    const [, name = '', scaleName = '', zeroName = '', groups = ''] = proto.input;
    const [out, width] = [intAttribute(proto, 'N', 0), intAttribute(proto, 'K', 0)];
    const [bits, size] = [intAttribute(proto, 'bits', 4), intAttribute(proto, 'block_size', 32)];
    const count = width / size;
    const numbers = this.own(name, [out, count, (size * bits) / 8]);
    const scales = this.own(scaleName, [out, count]);
    const perByte = 8 / bits;
    const filled = Math.ceil(count / perByte);
    const zeros = zeroName === '' ? undefined : this.own(zeroName, [out, filled]);
    if (
      !(Number.isInteger(count) && Number.isInteger(perByte)) ||
      groups !== '' ||
      numbers === undefined ||
      scales === undefined ||
      (zeroName !== '' && zeros?.dtype !== 'U8')
    ) {
      return undefined;
    }
    const codes = { bits, order: 'columns', values: 'unsigned' } as const;
    const stored = filled * perByte;
    const block = [1, size] as const;
    return {
      shape: [out, width],
      tensor: numbers,
      codes,
      minus:
        zeros === undefined
          ? 2 ** (bits - 1)
          : { matrix: { shape: [out, count], tensor: zeros, codes, stored }, block },
      times: { matrix: { shape: [out, count], tensor: scales }, block },
    };
  }

  /** A matrix of eight bits, as stored, with a scale of all, of each row or column, or of blocks of them. */
  private dequantized(value: string): PackedMatrix | undefined {
    const node = this.source.index.producers.get(value);
    const [name = '', scaleName = '', zeroName = ''] = node?.proto.input ?? [];
    const data = this.source.file.initializers.get(name);
    if (
      node?.op !== dequantizes ||
      data?.dims.length !== 2 ||
      this.source.index.consumersOf(value).length !== 1
    ) {
      return undefined;
    }
    const [rows = 0, columns = 0] = data.dims;
    const axis = [0, -2].includes(intAttribute(node.proto, 'axis', 1)) ? 0 : 1;
    const size = intAttribute(node.proto, 'block_size', 0);
    // The last block would be a short one.
    if (size > 0 && data.dims[axis] !== undefined && data.dims[axis] % size !== 0) {
      return undefined;
    }
    const grid = (of: string): PackedMatrix | undefined => {
      const { dims = [], dtype = '' } = this.source.file.initializers.get(of) ?? {};
      const count = elementCount(dims);
      const shape =
        dims.length === 2
          ? ([dims[0] ?? 1, dims[1] ?? 1] as const)
          : axis === 0
            ? ([count, 1] as const)
            : ([1, count] as const);
      const tensor = this.own(of, shape);
      return tensor && { shape, tensor, ...(isByte(dtype) ? { codes: bytes(dtype) } : {}) };
    };
    const numbers = this.own(name, [rows, columns]);
    const [scales, zeros] = [grid(scaleName), zeroName === '' ? undefined : grid(zeroName)];
    if (
      numbers === undefined ||
      !isByte(numbers.dtype) ||
      scales === undefined ||
      (zeroName !== '' && zeros === undefined)
    ) {
      return undefined;
    }
    const minus: Grid | undefined = zeros && { matrix: zeros };
    return {
      shape: [rows, columns],
      tensor: numbers,
      codes: bytes(numbers.dtype),
      ...(minus === undefined ? {} : { minus }),
      times: { matrix: scales },
    };
  }

  /** Initializer of this shape that no other node reads. Scalars may be shared. */
  private own(name: string, shape: readonly number[]): LazyTensor | undefined {
    const data = this.source.file.initializers.get(name);
    const fits = data !== undefined && elementCount(data.dims) === elementCount(shape);
    const isOwn = elementCount(shape) === 1 || this.source.index.consumersOf(name).length === 1;
    return fits && isOwn && !this.source.index.outputs.has(name)
      ? this.asTensor(data, shape)
      : undefined;
  }

  private asTensor(data: OnnxInitializer, shape: readonly number[]): LazyTensor | undefined {
    const [tensor] = lazyTensor(data, encodingDTypes);
    return tensor && { ...tensor, shape };
  }
}

function made(
  node: GraphNode,
  bias: string,
  matrix: PackedMatrix,
  isTransposed: boolean,
): GraphMatrix {
  const [rows, columns] = matrix.shape;
  const [out, width] = isTransposed ? [columns, rows] : [rows, columns];
  const { name, file, offset, length } = matrix.tensor;
  const packed = { matrix, isTransposed };
  const weight: LazyTensor = {
    ...{ name, dtype: packedDType, shape: [out, width], file, offset, length, packed },
  };
  return { node, input: node.proto.input[0] ?? '', bias, linear: { weight }, out, in: width };
}

const isByte = (dtype: string): boolean => dtype === 'U8' || dtype === 'I8';

const bytes = (dtype: string) =>
  ({ bits: 8, order: 'columns', values: dtype === 'I8' ? 'signed' : 'unsigned' }) as const;

/** True if a single matmul of rows reads the matrix directly. */
function isPlain({ form, use: { products, between } }: GraphLinear): boolean {
  const [product, ...others] = products;
  const isRead = product !== undefined && product.map === undefined && others.length === 0;
  return isRead && form === undefined && between.length === 0;
}
