import { runnableDTypes } from '../../../checkpoints/lazy-tensor';
import type { DType, LazyTensor } from '../../../checkpoints/lazy-tensor';
import type { OnnxInitializer } from '../../../checkpoints/onnx-file';
import { DataType } from '../../../onnx/graph-builder';
import type { GraphProto, NodeProto } from '../../../onnx/proto/onnx_pb';
import { UserError } from '../../../user-error';
import { checkEncoding } from '../../encodings/check-encoding';
import { encodingTensors } from '../../encodings/encoding-facts';
import { findEncoding } from '../../encodings/stored-encodings';
import type { LinearLayer, LinearRole } from '../../matrix-encoding';
import { findRegions, readStoredEncodings } from '../stream/encoding-regions';
import { fusedAttention, explainNotSplittable } from '../stream/fused-attention';
import type { GraphNode } from '../graph-index';
import type { CutGraph } from '../graph-stages';
import { isMatrixLike, WeightReaders } from './linear-weights';
import type { LinearWeight, MatrixProduct } from './linear-weights';
import type { OnnxModel } from '../stream/graph-stream';
import { ValueShapes } from '../values/value-shapes';
import { say } from '../../../message';
import type { SublayerKind } from '../../model-summary';

/** A linear layer of a graph, with the nodes that it consists of. */
export interface GraphLinear extends LinearLayer {
  readonly use: LinearWeight;
  /** Matmuls of the layer in this mode of the graph. */
  readonly products: readonly MatrixProduct[];
  /** Output nodes of the matmuls. */
  readonly nodes: readonly GraphNode[];
}

/** A matrix that can't be encoded, and the reason. */
export interface UnusableMatrix {
  readonly name: string;
  readonly problem: string;
}

/** The matrices that sublayers of a graph read. */
export interface GraphLinears {
  readonly layers: readonly GraphLinear[];
  readonly unusable: readonly UnusableMatrix[];
}

export const encodingDTypes: ReadonlySet<DType> = new Set([...runnableDTypes, 'U8', 'I8']);
/** Oldest opset in which the operators of encodings have today's semantics, such as broadcasting. */
const oldestOpset = 9;

/** A linear layer without a role, and all nodes that depend on its output. */
type FoundLinear = Omit<GraphLinear, 'role'> & { readonly descendants: ReadonlySet<GraphNode> };

/** Finds matrices that are used only as linear layers of a single sublayer. */
export function findGraphLinears(source: OnnxModel, cut: CutGraph): GraphLinears {
  const { file, place, index } = source;
  const mainGraph = place?.wrapping.parentGraph ?? file.graph;
  let shapes: ValueShapes | undefined;
  const readers = new WeightReaders(mainGraph, (node) => {
    shapes ??= new ValueShapes(file.graph, index);
    return explainNotSplittable(node, index, shapes);
  });
  const holders = findReaders(cut);
  const formed = encodedMatrices(source, mainGraph);
  const encodedTensors = new Set(formed.flatMap(({ tensors }) => tensors));
  const unusable: UnusableMatrix[] = [];
  const dense = [...holders.keys()].flatMap((name): Candidate[] => {
    const data = file.initializers.get(name);
    if (
      data === undefined ||
      encodedTensors.has(name) ||
      !isMatrixLike(data.dims) ||
      !isFloat(data)
    ) {
      return [];
    }
    const use = readers.of(name, data);
    const [weight] = lazyTensor(data);
    if (typeof use === 'string' || weight === undefined) {
      const problem = `its numbers are ${data.dtype} in a form of their own`;
      unusable.push({ name, problem: typeof use === 'string' && weight ? use : problem });
      return [];
    }
    const [rows = 0, columns = 0] = data.dims;
    const { transposed } = use;
    const [out, input] = transposed ? [columns, rows] : [rows, columns];
    const stored = { ...weight, shape: [rows, columns] };
    const sizes = { out, in: input };
    return [{ matrix: { id: name, ...sizes, weight: stored, transposed, use }, tensors: [name] }];
  });
  const byProto = new Map(source.index.nodes.map((node) => [node.proto, node]));
  const found = [...dense, ...formed].flatMap(({ matrix, tensors }) => {
    const sublayers = new Set(tensors.flatMap((name) => holders.get(name) ?? []));
    const layer = assignSublayer(source, byProto, matrix, [...sublayers]);
    if (typeof layer === 'string') {
      unusable.push({ name: matrix.id, problem: layer });
    }
    return layer === undefined || typeof layer === 'string' ? [] : [layer];
  });
  if (source.summary.opset < oldestOpset) {
    const problem = `the graph is of opset ${source.summary.opset}, and forms are written from ${oldestOpset} on`;
    return { layers: [], unusable: found.map(({ id }) => ({ name: id, problem })) };
  }
  return { layers: withRoles(source, found), unusable };
}

/** A matrix and its uses in the graph. */
type FoundMatrix = Omit<GraphLinear, 'role' | 'sublayer' | 'products' | 'nodes'>;

interface Candidate {
  readonly matrix: FoundMatrix;
  /** Names of the initializers that it consists of. */
  readonly tensors: readonly string[];
}

/** Returns the layer, or the reason why it isn't one; undefined if no sublayer uses the matrix. */
function assignSublayer(
  { index, branches }: OnnxModel,
  byProto: ReadonlyMap<NodeProto, GraphNode>,
  matrix: FoundMatrix,
  [sublayer, ...others]: readonly number[],
): FoundLinear | string | undefined {
  if (others.length > 0) {
    return 'several sublayers read it';
  }
  const products = matrix.use.products.filter(({ node }) => byProto.has(node));
  const nodes = products.flatMap(({ node }) => byProto.get(node) ?? []);
  const branch = sublayer === undefined ? undefined : branches[sublayer];
  // The last part also computes the head, and the last part of an encoder its output for the decoder.
  if (
    sublayer === undefined ||
    branch === undefined ||
    !nodes.every((node) => branch.nodes.has(node))
  ) {
    return undefined;
  }
  const descendants = index.descendants(
    nodes.flatMap(({ outputs }) => outputs),
    branch.end,
  );
  return [...descendants].some((node) => node.op === 'TopK' && branch.nodes.has(node))
    ? 'it chooses experts'
    : { ...matrix, sublayer, products, nodes, descendants, ...overPositions(products) };
}

function overPositions(products: readonly MatrixProduct[]): Pick<GraphLinear, 'overPositions'> {
  return products.some(({ map }) => map !== undefined) ? { overPositions: true } : {};
}

/**
 * Finds matrices that Espalier has already encoded.
 * @throws UserError if tensors don't match the encoding in the metadata.
 */
function encodedMatrices({ file }: OnnxModel, mainGraph: GraphProto): Candidate[] {
  const storedEncodings = readStoredEncodings(file.model);
  const regions = storedEncodings.size === 0 ? undefined : findRegions(mainGraph, file);
  return [...storedEncodings].flatMap(([id, { form: spec, out, in: input }]): Candidate[] => {
    const products = regions?.get(id);
    if (products === undefined) {
      return [];
    }
    const sizes = { out, in: input };
    const encoding = findEncoding(`${id}.weight`, spec, sizes, (name) => {
      const data = file.initializers.get(name);
      const [tensor] = data === undefined ? [] : lazyTensor(data, encodingDTypes);
      return tensor ?? lacks(file.path, name);
    });
    checkEncoding(encoding, { id, ...sizes }, file.path);
    const tensors = encodingTensors<LazyTensor>(encoding);
    const isWhole = products.every(({ node, others }) => {
      const read = new Set([node, ...others].flatMap((one) => one.input));
      return tensors.every(({ name }) => read.has(name));
    });
    if (!isWhole) {
      return [];
    }
    const place = { file: tensors[0]?.file ?? file.path, offset: 0, length: 0 };
    const weight: LazyTensor = { name: id, dtype: 'F32', shape: [out, input], ...place };
    const use = { transposed: false, products, between: [], dataType: DataType.FLOAT };
    const matrix = { id, ...sizes, encoding, weight, transposed: false, use };
    return [{ matrix, tensors: tensors.map(({ name }) => name) }];
  });
}

function lacks(file: string, name: string): never {
  throw new UserError('tensor-missing', say`The graph lacks this tensor of a compressed matrix.`, {
    file,
    field: name,
    remedy: say`Compress the model again.`,
  });
}

/** True for float dtypes. */
export function isFloat({ dtype }: OnnxInitializer): boolean {
  return /^B?F\d/.test(dtype);
}

/** Sublayers that read each initializer, by name. */
function findReaders({ over }: CutGraph): Map<string, number[]> {
  const holders = new Map<string, number[]>();
  for (const [sublayer, { weights }] of over.entries()) {
    for (const name of weights) {
      holders.set(name, [...(holders.get(name) ?? []), sublayer]);
    }
  }
  return holders;
}

function withRoles(source: OnnxModel, found: readonly FoundLinear[]): GraphLinear[] {
  const products = new Map(
    found.flatMap((layer) => layer.nodes.map((node) => [node, layer.sublayer] as const)),
  );
  const sortedLayers = found.toSorted((a, b) => firstOrder(a) - firstOrder(b));
  return sortedLayers.map(({ descendants, ...layer }) => {
    const { sublayer } = layer;
    const isLast = ![...descendants].some((node) => products.get(node) === sublayer);
    const { kind = 'other' } = source.summary.sublayers[sublayer] ?? {};
    return { ...layer, role: linearRole(kind, moduleLabels(layer), isLast) };
  });
}

function firstOrder({ nodes: [first] }: FoundLinear): number {
  return first?.order ?? 0;
}

/** Names that identify the module: node names, and the module path in metadata of the dynamo exporter. */
function moduleLabels({ id, nodes }: Pick<GraphLinear, 'id' | 'nodes'>): string[] {
  const paths = nodes.flatMap(({ proto: { metadataProps } }) =>
    metadataProps.flatMap(({ key, value }) => (key === 'namespace' ? [modulePath(value)] : [])),
  );
  const fused = nodes.some(({ op }) => op === fusedAttention) ? ['qkv'] : [];
  return [id, ...nodes.map(({ proto }) => proto.name), ...paths, ...fused];
}

/** `: Model/model.layers.0: Layer/model.layers.0.mlp.up_proj: Linear/linear: aten.linear` → the innermost module. */
function modulePath(namespace: string): string {
  const modules = namespace.split('/').map((part) => part.split(':')[0] ?? '');
  return modules.findLast((path) => path.includes('.')) ?? '';
}

/** Initializer as a tensor with readable values, or undefined. */
export function lazyTensor(
  data: OnnxInitializer,
  dtypes: ReadonlySet<DType> = runnableDTypes,
): LazyTensor[] {
  const { name, dtype, dims: shape, file, offset, length, mappable } = data;
  const known = [...dtypes].find((one) => one === dtype);
  return mappable && known !== undefined
    ? [{ name, dtype: known, shape, file, offset, length }]
    : [];
}

/** Patterns of layer names by role; the first match counts. */
const names: readonly (readonly [RegExp, LinearRole])[] = [
  [
    /(?:^|[^a-z])(?:qkv|query_key_value|qkv_proj|c_attn|in_proj|Wqkv)(?:[^a-z]|$)/i,
    'query-key-value',
  ],
  [/(?:^|[^a-z])(?:q|q_proj|query|wq|to_q|q_lin)(?:[^a-z_]|$)/i, 'query'],
  [/(?:^|[^a-z])(?:k|k_proj|key|wk|to_k|k_lin)(?:[^a-z_]|$)/i, 'key'],
  [/(?:^|[^a-z])(?:v|v_proj|value|wv|to_v|v_lin)(?:[^a-z_]|$)/i, 'value'],
  [/(?:^|[^a-z])(?:gate_up_proj|gate_up)(?:[^a-z]|$)/i, 'gate-up'],
  [/(?:^|[^a-z])(?:gate_proj|w1|wi_0)(?:[^a-z0-9]|$)/i, 'gate'],
  [
    /(?:^|[^a-z])(?:up_proj|w3|wi_1|wi|fc1|c_fc|dense_h_to_4h|intermediate|lin1)(?:[^a-z0-9]|$)/i,
    'up',
  ],
  [/(?:^|[^a-z])(?:down_proj|w2|wo|fc2|dense_4h_to_h|lin2)(?:[^a-z0-9]|$)/i, 'down'],
];

/**
 * Role of a matmul by the kind of its sublayer and, if they are informative, the names of node and weight. Some
 * exporters keep module names. `isLast`: no other matmul depends on its result.
 */
function linearRole(kind: SublayerKind, labels: readonly string[], isLast: boolean): LinearRole {
  if (isLast) {
    return kind === 'attention' || kind === 'cross-attention'
      ? 'output'
      : kind === 'feedforward' || kind === 'expert'
        ? 'down'
        : 'other';
  }
  const label = labels.join(' ');
  return names.find(([pattern]) => pattern.test(label))?.[1] ?? 'other';
}
