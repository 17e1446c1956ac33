import { nestedGraphs } from '../../checkpoints/nested-weights';
import { DataType } from '../../onnx/graph-builder';
import type { GraphProto, NodeProto } from '../../onnx/proto/onnx_pb';
import { operatorName } from './graph-index';
import { intAttribute, intsAttribute } from './node-attributes';

/** How a graph multiplies by a weight, or looks its rows up, wherever it does so. */
export interface LinearWeight {
  /** Whether the weight as stored is [in, out]. */
  readonly transposed: boolean;
  /** MatMul and Gemm, or Gather, those of nested graphs included. */
  readonly nodes: readonly NodeProto[];
  /** Casts and transposes between the weight and them. */
  readonly between: readonly NodeProto[];
  /** Number of the element type that is multiplied in, or looked up. */
  readonly dataType: number;
}

/** What a matrix is read for; both where the head is the embedding. */
export interface WeightUses {
  readonly products: LinearWeight | undefined;
  readonly lookups: LinearWeight | undefined;
}

/** Readers of one kind while they are collected. */
class Readers {
  private readonly nodes: NodeProto[] = [];
  private readonly between = new Set<NodeProto>();
  private readonly orders = new Set<boolean>();
  private readonly types = new Set<number>();

  public add(node: NodeProto, transposed: boolean, type: number, path: readonly NodeProto[]): void {
    this.nodes.push(node);
    this.orders.add(transposed);
    this.types.add(type);
    path.forEach((one) => this.between.add(one));
  }

  /** Undefined without any reader, or why they do not agree. */
  public use(idle: readonly NodeProto[]): LinearWeight | string | undefined {
    const [transposed, ...otherOrders] = this.orders;
    const [dataType, ...otherTypes] = this.types;
    if (transposed === undefined || dataType === undefined) {
      return undefined;
    }
    if (otherOrders.length > 0 || otherTypes.length > 0) {
      return 'it is read as it is and transposed, or in several types';
    }
    const between = [...new Set([...this.between, ...idle])];
    return { transposed, nodes: this.nodes, between, dataType };
  }
}

/** Finds the readers of weights in a graph and in those nested in it. */
export class WeightReaders {
  private readonly readers = new Map<string, NodeProto[]>();
  private readonly outputs = new Set<string>();

  public constructor(graph: GraphProto) {
    this.collect(graph);
  }

  /** How the graph multiplies by the matrix `name`, or why it is no linear layer. */
  public of(name: string, dataType: number): LinearWeight | string {
    const uses = this.usesOf(name, dataType);
    if (typeof uses === 'string') {
      return uses;
    }
    return uses.lookups === undefined
      ? (uses.products ?? 'no product is made with it')
      : 'Gather reads it as well';
  }

  /** How the graph reads the matrix `name`, or what else it does with it. */
  public usesOf(name: string, dataType: number): WeightUses | string {
    const [products, lookups] = [new Readers(), new Readers()];
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
        const order = productOrder(node, value);
        if (order !== undefined) {
          products.add(node, order === 'in-out' ? !turned : turned, type, path);
        } else if (isLookup(node, value) && !turned) {
          lookups.add(node, false, type, path);
        } else if (isPassing(node)) {
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
    return typeof looked === 'string' ? looked : { products: made, lookups: looked };
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

/** The order in which a product of rows reads its matrix `name`; undefined for other nodes. */
function productOrder(node: NodeProto, name: string): 'in-out' | 'out-in' | undefined {
  const op = operatorName(node);
  const isMatrix =
    node.input[1] === name && node.input.filter((input) => input === name).length === 1;
  if (!isMatrix || (op !== 'MatMul' && op !== 'Gemm') || intAttribute(node, 'transA', 0) !== 0) {
    return undefined;
  }
  return op === 'Gemm' && intAttribute(node, 'transB', 0) === 1 ? 'out-in' : 'in-out';
}

/** Whether a node takes rows of the table `name`. */
function isLookup(node: NodeProto, name: string): boolean {
  return (
    operatorName(node) === 'Gather' &&
    node.input[0] === name &&
    node.input[1] !== name &&
    intAttribute(node, 'axis', 0) === 0
  );
}

const floats: readonly number[] = [DataType.FLOAT, DataType.FLOAT16, DataType.BFLOAT16];

/** Nodes that hand a matrix on: as it is, transposed, or in another type of floats. */
function isPassing(node: NodeProto): boolean {
  switch (operatorName(node)) {
    case 'Identity':
      return true;
    case 'Cast':
      return floats.includes(intAttribute(node, 'to', 0));
    case 'Transpose':
      return (intsAttribute(node, 'perm') ?? [1, 0]).join() === '1,0';
    default:
      return false;
  }
}
