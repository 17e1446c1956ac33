import { nestedGraphs } from '../../checkpoints/nested-weights';
import { DataType } from '../../onnx/graph-builder';
import type { GraphProto, NodeProto } from '../../onnx/proto/onnx_pb';
import { fusedAttention } from './fused-attention';
import { operatorName } from './graph-index';
import { intAttribute, intsAttribute } from './node-attributes';

/** A place where a graph multiplies by a matrix. */
export interface MatrixProduct {
  /** The node that gives the result. */
  readonly node: NodeProto;
  /** What is multiplied: rows along the last axis, or a map. */
  readonly input: string;
  /** Set where the rows are the positions of a map [batch, in, …]: those of a convolution of kernel 1. */
  readonly map?: PositionMap;
  /** Further nodes that it consists of, where the matrix has another form already. */
  readonly others: readonly NodeProto[];
}

/** Positions of a map. */
export interface PositionMap {
  /** How many axes they have. */
  readonly axes: number;
  /** Every how manieth is taken, by axis. */
  readonly strides: readonly number[];
}

/** Whether every position is taken. */
export function isEach({ strides }: PositionMap): boolean {
  return strides.every((stride) => stride === 1);
}

/** How a graph multiplies by a weight, wherever it reads it. */
export interface LinearWeight {
  /** Whether the weight as stored is [in, out]. */
  readonly transposed: boolean;
  /** Those of nested graphs included. */
  readonly products: readonly MatrixProduct[];
  /** Casts and transposes between the weight and them. */
  readonly between: readonly NodeProto[];
  /** Number of the element type that is multiplied in. */
  readonly dataType: number;
}

/** Finds the readers of weights in a graph and in those nested in it. */
export class WeightReaders {
  private readonly readers = new Map<string, NodeProto[]>();
  private readonly outputs = new Set<string>();

  /** @param whyFused why the weight of a node that attends cannot be taken out of it, if so */
  public constructor(
    graph: GraphProto,
    private readonly whyFused: (node: NodeProto) => string | undefined,
  ) {
    this.collect(graph);
  }

  /** How the graph multiplies by the matrix or kernel `name`, or why it is no linear layer. */
  public of(
    name: string,
    { dataType, dims }: { readonly dataType: number; readonly dims: readonly number[] },
  ): LinearWeight | string {
    const products: MatrixProduct[] = [];
    const between: NodeProto[] = [];
    const orders = new Set<boolean>();
    const types = new Set<number>();
    const follow = (value: string, turned: boolean, type: number): string | undefined => {
      if (this.outputs.has(value)) {
        return 'it is an output of the graph';
      }
      for (const node of this.readers.get(value) ?? []) {
        const op = operatorName(node);
        const read = readAsMatrix(node, value, dims) ?? this.readFused(node, value);
        if (typeof read === 'string') {
          return read;
        }
        if (read !== undefined) {
          const { order, ...product } = read;
          products.push({ node, others: [], ...product });
          orders.add(order === 'in-out' ? !turned : turned);
          types.add(type);
        } else if (isPassing(node, dims)) {
          between.push(node);
          const to = op === 'Cast' ? intAttribute(node, 'to', type) : type;
          const problem = follow(node.output[0] ?? '', op === 'Transpose' ? !turned : turned, to);
          if (problem !== undefined) {
            return problem;
          }
        } else {
          return `${op} reads it as well`;
        }
      }
      return undefined;
    };
    const problem = follow(name, false, dataType);
    if (problem !== undefined) {
      return problem;
    }
    const [transposed, ...otherOrders] = orders;
    const [type, ...otherTypes] = types;
    if (transposed === undefined || type === undefined) {
      return 'no product is made with it';
    }
    if (otherOrders.length > 0 || otherTypes.length > 0) {
      return 'it is read as it is and transposed, or in several types';
    }
    return { transposed, products, between, dataType: type };
  }

  private readFused(node: NodeProto, name: string): Read | string | undefined {
    const isFused = operatorName(node) === fusedAttention && readsOnce(node, name);
    return isFused
      ? (this.whyFused(node) ?? { order: 'in-out', input: node.input[0] ?? '' })
      : undefined;
  }

  private collect(graph: GraphProto): void {
    graph.output.forEach(({ name }) => this.outputs.add(name));
    for (const node of graph.node) {
      for (const input of new Set(node.input)) {
        const known = this.readers.get(input);
        if (known === undefined) {
          this.readers.set(input, [node]);
        } else {
          known.push(node);
        }
      }
      nestedGraphs(node).forEach((inner) => {
        this.collect(inner);
      });
    }
  }
}

/** How a product reads its matrix. */
interface Read extends Pick<MatrixProduct, 'input' | 'map'> {
  readonly order: 'in-out' | 'out-in';
}

/** How a product of rows or positions reads its matrix `name`, or why it is none; undefined for other nodes. */
function readAsMatrix(
  node: NodeProto,
  name: string,
  dims: readonly number[],
): Read | string | undefined {
  const [input = ''] = node.input;
  if (!readsOnce(node, name)) {
    return undefined;
  }
  switch (operatorName(node)) {
    case 'MatMul':
      return dims.length === 2 ? { order: 'in-out', input } : undefined;
    case 'Gemm':
      return intAttribute(node, 'transA', 0) !== 0
        ? 'its rows are the columns of what Gemm reads (transA)'
        : { order: intAttribute(node, 'transB', 0) === 1 ? 'out-in' : 'in-out', input };
    case 'Conv':
      return readAsKernel(node, dims);
    default:
      return undefined;
  }
}

/** Whether `name` is the second input of a node and no other. */
function readsOnce({ input }: NodeProto, name: string): boolean {
  return input[1] === name && input.filter((one) => one === name).length === 1;
}

function readAsKernel(node: NodeProto, dims: readonly number[]): Read | string {
  const groups = intAttribute(node, 'group', 1);
  if (groups !== 1) {
    return `the convolution has ${groups} groups`;
  }
  if ((intsAttribute(node, 'pads') ?? []).some((pad) => pad !== 0)) {
    return 'the convolution pads what it reads';
  }
  const axes = dims.length - 2;
  const strides = intsAttribute(node, 'strides') ?? new Array<number>(axes).fill(1);
  return { order: 'out-in', input: node.input[0] ?? '', map: { axes, strides } };
}

/** Whether a weight of these sizes is a matrix, or a kernel that takes one position at a time. */
export function isMatrixLike(dims: readonly number[]): boolean {
  return dims.length >= 2 && dims.slice(2).every((size) => size === 1);
}

const floats: readonly number[] = [DataType.FLOAT, DataType.FLOAT16, DataType.BFLOAT16];

/** Nodes that hand a matrix on: as it is, transposed, or in another type of floats. */
function isPassing(node: NodeProto, dims: readonly number[]): boolean {
  switch (operatorName(node)) {
    case 'Identity':
      return true;
    case 'Cast':
      return floats.includes(intAttribute(node, 'to', 0));
    case 'Transpose':
      return dims.length === 2 && (intsAttribute(node, 'perm') ?? [1, 0]).join() === '1,0';
    default:
      return false;
  }
}
