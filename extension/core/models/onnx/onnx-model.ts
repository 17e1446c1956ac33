import { createHash } from 'node:crypto';
import { toBinary } from '@bufbuild/protobuf';
import { basename, dirname } from 'node:path';
import { dataTypeBits, dataTypeName } from '../../checkpoints/onnx-data-types';
import { dtypeBits, elementCount } from '../../checkpoints/lazy-tensor';
import { openOnnx } from '../../checkpoints/onnx-file';
import type { OnnxFile, OnnxInitializer } from '../../checkpoints/onnx-file';
import { ModelProtoSchema } from '../../onnx/proto/onnx_pb';
import type { ModelProto, NodeProto, ValueInfoProto } from '../../onnx/proto/onnx_pb';
import { sampleFiles } from '../fingerprint';
import { fillCacheWidths } from './cache-ports';
import { classifyBranch, hasWeightsByKind } from './classify';
import { GraphIndex, isShape, operatorName } from './graph-index';
import type { GraphNode } from './graph-index';
import type { SublayerKind } from '../model-summary';
import type { OnnxPort, OnnxSublayer, OnnxSummary } from './onnx-summary';
import { explainNoSublayers } from './nested-streams';
import { separateTerms } from './parallel-terms';
import { nodesGone, removeBranches } from './removal-nodes';
import { findCandidates } from './residual-candidates';
import { findResidualBranches } from './residual-stream';
import type { ResidualBranch } from './residual-stream';

/** An ONNX model with the removable branches of its residual stream. */
export interface OnnxModel {
  readonly file: OnnxFile;
  /** Of the graph as stored, but that parallel branches are added one after the other. */
  readonly index: GraphIndex;
  readonly branches: readonly ResidualBranch[];
  readonly summary: OnnxSummary;
}

/**
 * Opens an ONNX model and finds its sublayers from the graph alone. No weights are read.
 * @throws UserError when the file is damaged.
 */
export async function openOnnxModel(path: string): Promise<OnnxModel> {
  const file = await openOnnx(path);
  const { index, branches } = findStream(file, path);
  return { file, index, branches, summary: await summarize(file, index, branches) };
}

function findStream({ graph }: OnnxFile, path: string): Pick<OnnxModel, 'index' | 'branches'> {
  const stored = new GraphIndex(graph, path);
  const candidates = findCandidates(stored);
  const node = separateTerms(graph.node, stored, candidates);
  if (node === undefined) {
    return { index: stored, branches: findResidualBranches(stored, candidates) };
  }
  const index = new GraphIndex({ ...graph, node }, path);
  return { index, branches: findResidualBranches(index) };
}

async function summarize(
  file: OnnxFile,
  index: GraphIndex,
  branches: readonly ResidualBranch[],
): Promise<OnnxSummary> {
  const initializers = [...file.initializers.values()];
  const dtypes: Record<string, number> = {};
  for (const { dtype, dims, dataType, length } of initializers) {
    dtypes[dtype] = (dtypes[dtype] ?? 0) + storedBytes(dims, dataType, length);
  }
  const { model, graph } = file;
  const opsets = Object.fromEntries(
    model.opsetImport.map(({ domain, version }) => [
      domain === '' ? 'ai.onnx' : domain,
      Number(version),
    ]),
  );
  const ops = countOperators(model, file.liftedConstants);
  const given = graph.input.filter(({ name }) => !file.initializers.has(name)).map(port);
  const inputs = fillCacheWidths(given, index, file);
  const { live } = removeBranches(index, []);
  const sublayers = nameSublayers(branches, index, model).map(({ branch, ...sublayer }) => ({
    ...sublayer,
    ...measure(branch, file, index, inputs, live),
  }));
  return {
    name: modelName(file.path),
    path: file.path,
    architecture: 'onnx',
    parameters: countParameters(initializers),
    bytes: Object.values(dtypes).reduce((sum, bytes) => sum + bytes, 0),
    dtypes,
    blocks: (sublayers.at(-1)?.block ?? -1) + 1,
    sublayers,
    opset: opsets['ai.onnx'] ?? 0,
    opsets,
    ops,
    inputs,
    outputs: graph.output.map(port),
    metadata: Object.fromEntries(model.metadataProps.map(({ key, value }) => [key, value])),
    fingerprint: await fingerprint(file),
    warnings:
      sublayers.length > 0 ? explainWholeMixtures(sublayers) : [explainNoSublayers(file, index)],
  };
}

/** Why the experts of mixtures are not offered one by one, if there are any. */
function explainWholeMixtures(sublayers: readonly { readonly kind: SublayerKind }[]): string[] {
  return sublayers.some(({ kind }) => kind === 'expert')
    ? [
        'Single experts cannot be taken out of an ONNX graph, only whole mixtures: each exporter writes routing and the weights of all experts in a way of its own. Prune the Hugging Face folder, and write it as ONNX.',
      ]
    : [];
}

/** Number of learned numbers. */
export function countParameters(initializers: readonly OnnxInitializer[]): number {
  return initializers.filter(isWeight).reduce((sum, { dims }) => sum + elementCount(dims), 0);
}

/**
 * Numbers blocks: a kind that the current block has already begins the next one, and so do a stream
 * and an attention to itself. Parallel branches are of one block.
 */
function nameSublayers(
  branches: readonly ResidualBranch[],
  index: GraphIndex,
  model: ModelProto,
): { id: string; block: number; kind: SublayerKind; branch: ResidualBranch }[] {
  let block = -1;
  const kinds = new Set<SublayerKind>();
  return branches.map((branch, i) => {
    const before = branches[i - 1];
    const { source, nodes, terms } = branch;
    const kind = terms.length > 1 ? 'parallel' : classifyBranch(nodes, index, model.functions);
    const isFirst = kind === 'attention' && source !== before?.source;
    if (kinds.has(kind) || (isFirst && kinds.size > 0) || before?.joined !== true) {
      block++;
      kinds.clear();
    }
    kinds.add(kind);
    return { id: `block.${block}.${kind}`, block, kind, branch };
  });
}

function measure(
  branch: ResidualBranch,
  file: OnnxFile,
  index: GraphIndex,
  inputs: readonly OnnxPort[],
  live: ReadonlySet<GraphNode>,
): Pick<OnnxSublayer, 'parameters' | 'bytes' | 'flopsPerToken' | 'kvBytesPerToken' | 'nodes'> {
  const found = nodesGone(index, live, branch);
  const gone = [...found].sort((a, b) => a.order - b.order);
  const weights = namesRead(gone)
    .flatMap((name) => file.initializers.get(name) ?? [])
    .filter(isWeight);
  const products = namesRead(gone.filter(({ op }) => hasWeightsByKind(op)))
    .flatMap((name) => file.initializers.get(sourceOf(name, index)) ?? [])
    .filter(({ dims }) => dims.length > 1);
  const caches = inputs.filter(({ name }) => {
    const readers = index.consumersOf(name).filter((reader) => live.has(reader));
    const lost = readers.filter((reader) => found.has(reader));
    return lost.length > 0 && readers.every((reader) => found.has(reader) || isShape(reader));
  });
  return {
    parameters: weights.reduce((sum, { dims }) => sum + elementCount(dims), 0),
    bytes: weights.reduce(
      (sum, { dims, dataType, length }) => sum + storedBytes(dims, dataType, length),
      0,
    ),
    flopsPerToken: products.reduce((sum, { dims }) => sum + 2 * elementCount(dims), 0),
    kvBytesPerToken: caches.reduce((sum, input) => sum + bytesPerPosition(input), 0),
    nodes: gone.filter(({ op, proto }) => op !== 'Add' || proto.opType === 'Add').map(nodeName),
  };
}

function namesRead(nodes: readonly GraphNode[]): string[] {
  return [...new Set(nodes.flatMap(({ inputs }) => inputs))];
}

/** The initializer behind transposes and casts. */
function sourceOf(name: string, { constants, producers }: GraphIndex): string {
  let source = name;
  for (let next: string | undefined = name; next !== undefined;) {
    source = next;
    next = constants.has(next) ? producers.get(next)?.inputs[0] : undefined;
  }
  return source;
}

/** Numbers that are learned, as opposed to sizes and axes. */
function isWeight({ dtype, dims }: OnnxInitializer): boolean {
  return !['I64', 'I32', 'BOOL', 'STRING'].includes(dtype) && dims.length > 0;
}

function storedBytes(dims: readonly number[], dataType: number, length: number): number {
  const bits = dataTypeBits(dataType);
  return bits === undefined ? length : Math.ceil((elementCount(dims) * bits) / 8);
}

/** Bytes per token of a cache [batch, heads, past, headDim]. */
function bytesPerPosition({ dtype, shape = [] }: OnnxPort): number {
  const [, heads, , headDim] = shape;
  const bits = Object.entries(dtypeBits).find(([name]) => name === dtype)?.[1] ?? 0;
  return shape.length === 4 && typeof heads === 'number' && typeof headDim === 'number'
    ? (heads * headDim * bits) / 8
    : 0;
}

function nodeName({ proto }: GraphNode): string {
  return proto.name === '' ? `${operatorName(proto)} → ${proto.output.join(', ')}` : proto.name;
}

function countOperators(model: ModelProto, constants: number): Record<string, number> {
  const counts: Record<string, number> = constants > 0 ? { Constant: constants } : {};
  const count = (nodes: readonly NodeProto[]): void => {
    for (const proto of nodes) {
      const op = operatorName(proto);
      counts[op] = (counts[op] ?? 0) + 1;
      for (const { g, graphs } of proto.attribute) {
        [g, ...graphs].forEach((inner) => {
          count(inner?.node ?? []);
        });
      }
    }
  };
  count(model.graph?.node ?? []);
  for (const { node } of model.functions) {
    count(node);
  }
  return Object.fromEntries(Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** What a declared input or output takes. */
export function port({ name, type }: ValueInfoProto): OnnxPort {
  const value = type?.value;
  if (value?.case !== 'tensorType') {
    return { name, dtype: value?.case ?? 'unknown', shape: undefined };
  }
  const { elemType, shape } = value.value;
  return {
    name,
    dtype: dataTypeName(elemType),
    shape: shape?.dim.map((size) => {
      const known = size.value.value;
      return known === undefined ? '?' : typeof known === 'bigint' ? Number(known) : known;
    }),
  };
}

async function fingerprint({ model, initializers, files }: OnnxFile): Promise<string> {
  const hash = createHash('sha256');
  hash.update(toBinary(ModelProtoSchema, model));
  for (const { name, offset, length } of initializers.values()) {
    hash.update(`${name} ${offset} ${length}\n`);
  }
  await sampleFiles(hash, files);
  return hash.digest('hex');
}

/** The file's name, or its folder's where all files are called alike. */
function modelName(path: string): string {
  const name = basename(path, '.onnx');
  return name === 'model' ? basename(dirname(path)) : name;
}
