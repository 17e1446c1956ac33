import type { GraphNode } from '../graph-index';
import { intAttribute } from '../graph-index';
import type { ValueShapes } from '../values/value-shapes';
import { constantByExpert } from './constants-by-expert';
import type { Constants, ConstantByExpert } from './constants-by-expert';

/** A constant by expert, and the node that reads it. */
export interface ReadByExpert {
  readonly node: GraphNode;
  readonly place: number;
  readonly constant: ConstantByExpert;
}

interface ShapeOfScores {
  readonly node: GraphNode;
  readonly sizes: readonly number[];
}

/** Computes a score per token and expert. */
export interface Router {
  /** Number of experts. */
  readonly count: number;
  /**
   * Values with scores of all experts on the last axis, in order of computation: from the router
   * logits to the scores of the selection.
   */
  readonly scores: readonly string[];
  readonly reads: readonly ReadByExpert[];
  /** Reshapes to constant sizes with the number of experts last. */
  readonly shapes: readonly ShapeOfScores[];
  /** Matmuls with the number of experts as attribute N. */
  readonly counted: readonly GraphNode[];
}

/** Graph to search for MoE layers. */
export interface MixtureGraph extends Constants {
  readonly shapes: ValueShapes;
  /** Nodes that lead to an output. */
  readonly live: ReadonlySet<GraphNode>;
}

/** Largest number of experts. */
const mostExperts = 4096;

/** Operators that keep the order of scores along the last axis, and −∞ below all others. */
const passing = new Set(['Cast', 'Identity', 'Softmax', 'LogSoftmax', 'Sigmoid', 'Reshape']);

/** Traces scores back to the router weights, or returns the reason why it can't. */
export function findRouter(
  choice: string,
  graph: MixtureGraph,
  nodes: ReadonlySet<GraphNode>,
): Router | string {
  const scores = [choice];
  const found: { node: GraphNode; place: number; axis: number }[] = [];
  const shapes: GraphNode[] = [];
  for (let value = choice; ;) {
    const node = graph.index.producers.get(value);
    if (node === undefined || !nodes.has(node)) {
      return 'its scores come from elsewhere';
    }
    const product = findProduct(node, graph);
    if (product !== undefined) {
      return complete(product, { scores, found, shapes }, graph);
    }
    const { op, proto } = node;
    const constant = node.inputs.findIndex((input) => graph.index.constants.has(input));
    const isAffine = ['Add', 'Mul', 'Div'].includes(op) && constant >= 0;
    if (!isAffine && !passing.has(op)) {
      return `its scores pass through ${op}`;
    }
    if (isAffine) {
      const dims = graph.shapes.of(node.inputs[constant] ?? '') ?? [];
      if (dims.some((size) => size !== 1)) {
        found.push({ node, place: constant, axis: dims.length - 1 });
      }
    }
    if (op === 'Reshape' && graph.index.constants.has(proto.input[1] ?? '')) {
      shapes.push(node);
    }
    value = node.inputs[isAffine ? 1 - constant : 0] ?? '';
    scores.unshift(value);
  }
}

interface Product {
  readonly node: GraphNode;
  readonly count: number;
  readonly reads: readonly { readonly place: number; readonly axis: number }[];
  readonly isCounted: boolean;
}

/** Matmul with constant weights. Its last axis is an axis of the weights. */
function findProduct(node: GraphNode, { index, shapes }: MixtureGraph): Product | undefined {
  const { op, proto } = node;
  const weight = proto.input[1] ?? '';
  const dims = shapes.of(weight) ?? [];
  if (!index.constants.has(weight) || index.constants.has(proto.input[0] ?? '')) {
    return undefined;
  }
  const product = (
    count: number | undefined,
    axis: number,
    others: readonly number[],
    isCounted = false,
  ): Product | undefined =>
    count === undefined
      ? undefined
      : {
          node,
          count,
          reads: [
            { place: 1, axis },
            ...others
              .filter((place) => (proto.input[place] ?? '') !== '')
              .map((place) => ({
                place,
                axis: isCounted ? 0 : (shapes.of(proto.input[place] ?? '')?.length ?? 1) - 1,
              })),
          ],
          isCounted,
        };
  const size = (axis: number): number | undefined => {
    const found = dims[axis];
    return typeof found === 'number' ? found : undefined;
  };
  switch (op) {
    case 'MatMul':
      return dims.length === 2 ? product(size(1), 1, []) : undefined;
    case 'Gemm': {
      const axis = intAttribute(proto, 'transB', 0) === 1 ? 0 : 1;
      return product(size(axis), axis, [2]);
    }
    case 'com.microsoft:MatMulNBits':
      // The numbers of groups in the fifth input are of the inner axis.
      return (proto.input[4] ?? '') === ''
        ? product(intAttribute(proto, 'N', 0), 0, [2, 3, 5], true)
        : undefined;
    default:
      return undefined;
  }
}

function complete(
  { node, count, reads, isCounted }: Product,
  {
    scores,
    found,
    shapes,
  }: {
    scores: string[];
    found: { node: GraphNode; place: number; axis: number }[];
    shapes: GraphNode[];
  },
  graph: MixtureGraph,
): Router | string {
  const wanted = [...reads.map((read) => ({ node, ...read })), ...found];
  const all = wanted.flatMap((read) => {
    const value = read.node.proto.input[read.place] ?? '';
    const constant = constantByExpert(value, read.axis, count, graph);
    return constant === undefined ? [] : [{ node: read.node, place: read.place, constant }];
  });
  const fixed = shapes.map((reshape): ShapeOfScores => ({
    node: reshape,
    sizes: graph.shapes.contents(reshape.proto.input[1] ?? '')?.map(Number) ?? [],
  }));
  return count > mostExperts
    ? `it has ${count} experts`
    : all.length < wanted.length
      ? 'the weights of its scores are stored in a form that cannot be divided'
      : fixed.some(({ sizes }) => sizes.at(-1) !== count && sizes.at(-1) !== -1)
        ? 'its scores are put into groups'
        : {
            count,
            scores,
            reads: all,
            shapes: fixed.filter(({ sizes }) => sizes.at(-1) === count),
            counted: isCounted ? [node] : [],
          };
}
