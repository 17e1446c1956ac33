import { dataTypeBits } from '../../../checkpoints/onnx-file';
import { nestedGraphs } from '../../../checkpoints/nested-weights';
import { dtypeBits, elementCount } from '../../../checkpoints/lazy-tensor';
import type { OnnxFile, OnnxInitializer } from '../../../checkpoints/onnx-file';
import { hasWeightsByKind } from './classify';
import { isEmbeddingWithNorm, isQuantizedSum, isShape, operatorName } from '../graph-index';
import type { GraphIndex, GraphNode } from '../graph-index';
import type { NodeProto } from '../../../onnx/proto/onnx_pb';
import type { OnnxPort, OnnxSublayer } from '../onnx-summary';
import { nodesUnusedAfterRemoval } from '../edits/removal-nodes';
import type { ResidualBranch } from './residual-stream';

/** Parts of one graph that are removed with a sublayer. */
export interface LostParts {
  readonly weights: readonly OnnxInitializer[];
  /** Matrices that remaining nodes also read. */
  readonly shared: readonly OnnxInitializer[];
  /** Weights used in matmuls. */
  readonly products: readonly OnnxInitializer[];
  /** Inputs that become unused, such as past keys and values. */
  readonly caches: readonly OnnxPort[];
  readonly nodes: readonly string[];
  /** Names of all nodes of the graph, if it is one of several. */
  readonly all: ReadonlySet<string>;
}

/** Returns the parts removed with a branch. `unwanted` are graph outputs that are no longer needed. */
export function lostParts(
  branch: ResidualBranch,
  { file, index }: { readonly file: OnnxFile; readonly index: GraphIndex },
  inputs: readonly OnnxPort[],
  live: ReadonlySet<GraphNode>,
  unwanted: readonly string[],
  all: ReadonlySet<string>,
): LostParts {
  const found = nodesUnusedAfterRemoval(index, live, branch, unwanted);
  // A fused embedding and norm stays.
  const removedNodes = [...found]
    .filter(({ proto }) => !isEmbeddingWithNorm(proto))
    .sort((a, b) => a.order - b.order);
  const read = namesRead(removedNodes)
    .flatMap((name) => file.initializers.get(name) ?? [])
    .filter(isWeight);
  const isLost = ({ name }: OnnxInitializer): boolean =>
    index.consumersOf(name).every((reader) => found.has(reader) || !live.has(reader));
  return {
    weights: read.filter(isLost),
    shared: read.filter((weight) => !isLost(weight) && weight.dims.length > 1),
    products: productWeights(removedNodes, file, index),
    caches: inputs.filter(({ name }) => {
      const readers = index.consumersOf(name).filter((reader) => live.has(reader));
      const lost = readers.filter((reader) => found.has(reader));
      return lost.length > 0 && readers.every((reader) => found.has(reader) || isShape(reader));
    }),
    nodes: removedNodes.filter(isWhole).map(nodeName),
    all,
  };
}

/** True if a node is removed completely with its sum. */
function isWhole({ op, proto }: GraphNode): boolean {
  return op !== 'Add' || proto.opType === 'Add' || isQuantizedSum(proto);
}

/** The weights by which nodes multiply, those in the branches of an If included. */
export function productWeights(
  nodes: readonly Pick<GraphNode, 'op' | 'inputs' | 'proto'>[],
  { initializers }: Pick<OnnxFile, 'initializers'>,
  index: GraphIndex,
): OnnxInitializer[] {
  const inside = nodes.flatMap(({ proto }) => nodesInside(proto));
  const all = [
    ...nodes,
    ...inside.map((proto) => ({ op: operatorName(proto), inputs: proto.input })),
  ];
  return namesRead(all.filter(({ op }) => hasWeightsByKind(op)))
    .flatMap((name) => initializers.get(skipTransposes(name, index)) ?? [])
    .filter(({ dims }) => dims.length > 1);
}

/** Measures a sublayer from `all` its removed parts, in graphs with shared weights. */
export function measure(
  all: readonly LostParts[],
): Pick<
  OnnxSublayer,
  | 'parameters'
  | 'sharedWeights'
  | 'shares'
  | 'bytes'
  | 'flopsPerToken'
  | 'kvBytesPerToken'
  | 'nodes'
> {
  const weights = new Set(all.flatMap((one) => one.weights));
  const shared = new Set(all.flatMap((one) => one.shared));
  const count = (some: ReadonlySet<OnnxInitializer>): number =>
    [...some].reduce((sum, { dims }) => sum + elementCount(dims), 0);
  const flops = all.map(({ products }) =>
    products.reduce((sum, { dims }) => sum + 2 * elementCount(dims), 0),
  );
  return {
    parameters: count(weights),
    ...(shared.size === 0
      ? {}
      : { sharedWeights: count(shared), shares: [...shared].map(({ name }) => name) }),
    bytes: [...weights].reduce((sum, weight) => sum + storedBytes(weight), 0),
    flopsPerToken: Math.max(0, ...flops),
    kvBytesPerToken: [...new Set(all.flatMap(({ caches }) => caches))].reduce(
      (sum, input) => sum + bytesPerPosition(input),
      0,
    ),
    nodes: commonNames(all),
  };
}

/** Names of nodes, without those that another graph uses for a remaining node. */
function commonNames(all: readonly LostParts[]): string[] {
  const names = new Set(all.flatMap(({ nodes }) => nodes));
  const staying = all.flatMap(({ nodes, all: known }) => {
    const own = new Set(nodes);
    return [...names].filter((name) => known.has(name) && !own.has(name));
  });
  staying.forEach((name) => names.delete(name));
  return [...names];
}

/** True for trained values, as opposed to sizes and axes. */
export function isWeight({ dtype, dims }: OnnxInitializer): boolean {
  return !['I64', 'I32', 'BOOL', 'STRING'].includes(dtype) && dims.length > 0;
}

export function storedBytes({ dims, dataType, length }: OnnxInitializer): number {
  const bits = dataTypeBits(dataType);
  return bits === undefined ? length : Math.ceil((elementCount(dims) * bits) / 8);
}

function nodesInside(node: NodeProto): NodeProto[] {
  return nestedGraphs(node).flatMap(({ node: inner }) => [...inner, ...inner.flatMap(nodesInside)]);
}

function namesRead(nodes: readonly Pick<GraphNode, 'inputs'>[]): string[] {
  return [...new Set(nodes.flatMap(({ inputs }) => inputs))];
}

/** Initializer that a value is transposed or cast from. */
function skipTransposes(name: string, { constants, producers }: GraphIndex): string {
  let source = name;
  for (let next: string | undefined = name; next !== undefined;) {
    source = next;
    next = constants.has(next) ? producers.get(next)?.inputs[0] : undefined;
  }
  return source;
}

/** Bytes per token of a cache [batch, heads, past, headDim], or [2, batch, …] of keys and values in one. */
function bytesPerPosition({ dtype, shape: stored = [] }: OnnxPort): number {
  const isFused = stored.length === 5 && stored[0] === 2;
  const shape = isFused ? stored.slice(1) : stored;
  const [, heads, , headDim] = shape;
  const bits = Object.entries(dtypeBits).find(([name]) => name === dtype)?.[1] ?? 0;
  return shape.length === 4 && typeof heads === 'number' && typeof headDim === 'number'
    ? ((isFused ? 2 : 1) * heads * headDim * bits) / 8
    : 0;
}

/** Name of the node, or of its output. */
export function nodeName({ proto }: GraphNode): string {
  return proto.name === '' ? `${operatorName(proto)} → ${proto.output.join(', ')}` : proto.name;
}
