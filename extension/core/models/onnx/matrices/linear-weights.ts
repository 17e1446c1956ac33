import { nestedGraphs } from '../../../checkpoints/nested-weights';
import { DataType } from '../../../onnx/graph-builder';
import type { GraphProto, NodeProto } from '../../../onnx/proto/onnx_pb';
import { fusedAttention } from '../stream/fused-attention';
import { operatorName, intAttribute, intsAttribute, stringAttribute } from '../graph-index';

/** A matmul of the graph with a matrix. */
export interface MatrixProduct {
  /** Output node. */
  readonly node: NodeProto;
  /** Input value: rows along the last axis, or a feature map. */
  readonly input: string;
  /** Set for convolutions of kernel 1, whose rows are the positions of a feature map [batch, in, …]. */
  readonly map?: PositionMap;
  /** Other nodes of the matmul, if the matrix is encoded. */
  readonly others: readonly NodeProto[];
}

/** Positions of a feature map. */
export interface PositionMap {
  /** Number of spatial axes. */
  readonly axes: number;
  /** Strides by axis. */
  readonly strides: readonly number[];
}

/** True if all strides are 1. */
export function hasUnitStrides({ strides }: PositionMap): boolean {
  return strides.every((stride) => stride === 1);
}

/** All uses of a weight in matmuls. */
export interface LinearWeight {
  /** True if the weight is stored as [in, out]. */
  readonly transposed: boolean;
  /** Matmuls, including those in nested graphs. */
  readonly products: readonly MatrixProduct[];
  /** Casts and transposes between the weight and the matmuls. */
  readonly between: readonly NodeProto[];
  /** ONNX element type of the matmul. */
  readonly dataType: number;
}

/** All lookups of rows of a weight. */
export interface TableUse {
  /** Gather nodes, including those in nested graphs. */
  readonly nodes: readonly NodeProto[];
  /** Casts between the weight and the lookups. */
  readonly between: readonly NodeProto[];
  /** ONNX element type of the looked-up rows. */
  readonly dataType: number;
}

/** Uses of a matrix. Tied embeddings have both. */
export interface WeightUses {
  readonly products: LinearWeight | undefined;
  readonly lookups: TableUse | undefined;
}

/** Readers of one kind while they are collected. */
class Readers<T> {
  private readonly found: T[] = [];
  private readonly between = new Set<NodeProto>();
  private readonly orders = new Set<boolean>();
  private readonly types = new Set<number>();

  public add(reader: T, transposed: boolean, type: number, path: readonly NodeProto[]): void {
    this.found.push(reader);
    this.orders.add(transposed);
    this.types.add(type);
    path.forEach((node) => this.between.add(node));
  }

  /** Undefined without readers, or a reason if they disagree. */
  public use(
    idle: readonly NodeProto[],
  ): (Omit<LinearWeight, 'products'> & { readonly found: readonly T[] }) | string | undefined {
    const [transposed, ...otherOrders] = this.orders;
    const [dataType, ...otherTypes] = this.types;
    if (transposed === undefined || dataType === undefined) {
      return undefined;
    }
    if (otherOrders.length > 0 || otherTypes.length > 0) {
      return 'it is read as it is and transposed, or in several types';
    }
    const between = [...new Set([...this.between, ...idle])];
    return { transposed, found: this.found, between, dataType };
  }
}

/** Element type and shape of a weight. */
interface WeightData {
  readonly dataType: number;
  readonly dims: readonly number[];
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

  /** Returns the matmuls with the matrix or kernel `name`, or the reason why it isn't a linear layer. */
  public of(name: string, data: WeightData): LinearWeight | string {
    const uses = this.usesOf(name, data);
    if (typeof uses === 'string') {
      return uses;
    }
    return uses.lookups === undefined
      ? (uses.products ?? 'no product is made with it')
      : 'Gather reads it as well';
  }

  /** Returns the uses of the matrix or kernel `name`, or a description of an unsupported use. */
  public usesOf(name: string, { dataType, dims }: WeightData): WeightUses | string {
    const products = new Readers<MatrixProduct>();
    const lookups = new Readers<NodeProto>();
    const idle: NodeProto[] = [];
    const follow = (
      value: string,
      turned: boolean,
      type: number,
      path: readonly NodeProto[],
    ): string | undefined => {
      if (this.outputs.has(value)) {
        return 'it is an output of the graph';
      }
      const readers = this.readers.get(value) ?? [];
      if (readers.length === 0) {
        idle.push(...path);
      }
      for (const node of readers) {
        const op = operatorName(node);
        const read = readAsMatrix(node, value, dims) ?? this.readFused(node, value);
        if (typeof read === 'string') {
          return read;
        }
        if (read !== undefined) {
          const { order, ...product } = read;
          const transposed = order === 'in-out' ? !turned : turned;
          products.add({ node, others: [], ...product }, transposed, type, path);
        } else if (isLookup(node, value) && !turned) {
          lookups.add(node, false, type, path);
        } else if (isPassing(node, dims)) {
          const to = op === 'Cast' ? intAttribute(node, 'to', type) : type;
          const isTurned = op === 'Transpose' ? !turned : turned;
          const problem = follow(node.output[0] ?? '', isTurned, to, [...path, node]);
          if (problem !== undefined) {
            return problem;
          }
        } else {
          return `${op} reads it as well`;
        }
      }
      return undefined;
    };
    const problem = follow(name, false, dataType, []);
    if (problem !== undefined) {
      return problem;
    }
    const [made, looked] = [products.use(idle), lookups.use(idle)];
    if (typeof made === 'string') {
      return made;
    }
    if (typeof looked === 'string') {
      return looked;
    }
    return {
      products: made && { ...made, products: made.found },
      lookups: looked && { ...looked, nodes: looked.found },
    };
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

/** Input and matrix layout of a matmul. */
interface Read extends Pick<MatrixProduct, 'input' | 'map'> {
  readonly order: 'in-out' | 'out-in';
}

/** Returns how a matmul reads its matrix `name`, or the reason why it is unsupported; undefined for other nodes. */
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
    case 'Einsum':
      return dims.length === 2 ? readByEquation(node, input) : undefined;
    case 'Conv':
      return readAsKernel(node, dims);
    default:
      return undefined;
  }
}

/** An equation that sums over the last axis of the rows: abc,cd->abd or abc,dc->abd. */
function readByEquation(node: NodeProto, input: string): Read | undefined {
  const equation = stringAttribute(node, 'equation', '').replaceAll(' ', '');
  const [, rows = '', summed = '', first = '', second = '', result] =
    /^(.*)(\w),(\w)(\w)->(.*)$/.exec(equation) ?? [];
  const isNew = (axis: string): boolean => axis !== summed && !rows.includes(axis);
  if (result === `${rows}${second}` && first === summed && isNew(second)) {
    return { order: 'in-out', input };
  }
  return result === `${rows}${first}` && second === summed && isNew(first)
    ? { order: 'out-in', input }
    : undefined;
}

/** True if `name` is only the second input of a node. */
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

/** True for the shape of a matrix or of a convolution of kernel 1. */
export function isMatrixLike(dims: readonly number[]): boolean {
  return dims.length >= 2 && dims.slice(2).every((size) => size === 1);
}

/** True if a node looks up rows of the table `name`. */
function isLookup(node: NodeProto, name: string): boolean {
  return (
    operatorName(node) === 'Gather' &&
    node.input[0] === name &&
    node.input[1] !== name &&
    intAttribute(node, 'axis', 0) === 0
  );
}

const floats: readonly number[] = [DataType.FLOAT, DataType.FLOAT16, DataType.BFLOAT16];

/** Nodes that pass a matrix on unchanged, transposed, or as another float type. */
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
