import { nestedGraphs } from '../../checkpoints/nested-weights';
import { DataType } from '../../onnx/graph-builder';
import type { GraphProto, NodeProto } from '../../onnx/proto/onnx_pb';
import { operatorName } from './graph-index';
import { intAttribute, intsAttribute } from './node-attributes';

/** How a graph multiplies by a weight, wherever it reads it. */
export interface LinearWeight {
  /** Whether the weight as stored is [in, out]. */
  readonly transposed: boolean;
  /** MatMul and Gemm, those of nested graphs included. */
  readonly nodes: readonly NodeProto[];
  /** Casts and transposes between the weight and them. */
  readonly between: readonly NodeProto[];
  /** Number of the element type that is multiplied in. */
  readonly dataType: number;
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
    const nodes: NodeProto[] = [];
    const between: NodeProto[] = [];
    const orders = new Set<boolean>();
    const types = new Set<number>();
    const follow = (value: string, turned: boolean, type: number): string | undefined => {
      if (this.outputs.has(value)) {
        return 'it is an output of the graph';
      }
      for (const node of this.readers.get(value) ?? []) {
        const op = operatorName(node);
        const order = productOrder(node, value);
        if (order !== undefined) {
          nodes.push(node);
          orders.add(order === 'in-out' ? !turned : turned);
          types.add(type);
        } else if (isPassing(node)) {
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
    return { transposed, nodes, between, dataType: type };
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
