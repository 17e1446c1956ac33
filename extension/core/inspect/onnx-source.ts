import { stat } from 'node:fs/promises';
import { elementCount } from '../checkpoints/lazy-tensor';
import type { OnnxInitializer } from '../checkpoints/onnx-file';
import { dataTypeBits } from '../checkpoints/onnx-file';
import { siblingConfig } from '../models/onnx/sibling-config';
import { operatorName, intAttribute } from '../models/onnx/graph-index';
import type { GraphNode } from '../models/onnx/graph-index';
import { openOnnxModel } from '../models/onnx/onnx-model';
import type { OnnxModel } from '../models/onnx/stream/graph-stream';
import type { OnnxSummary } from '../models/onnx/onnx-summary';
import type { OpenModel } from '../models/model-cache';
import { UserError } from '../user-error';
import type { WeightsLocation, KnownSublayer, ModelSource } from './locate-weights';
import type { PartKind, StoredTensor, ModelFacts } from './model-description';
import { partByName } from './tensor-names';

/**
 * Facts derived from a graph without a config.json: heads from fused attention and from caches
 * [batch, heads, past, headDim], the vocabulary size from a lookup table with as many rows as the
 * graph has logits.
 */
function graphFacts({ index, summary, file }: OnnxModel): ModelFacts {
  const fused = index.nodes.find(({ op }) => op.endsWith('Attention'))?.proto;
  const attribute = (name: string): number | undefined =>
    fused === undefined ? undefined : intAttribute(fused, name, 0) || undefined;
  const heads = attribute('num_heads');
  const cache = summary.inputs.find(
    ({ shape, dtype }) => shape?.length === 4 && dtype.includes('F') && isHeads(shape),
  )?.shape;
  const groups = attribute('kv_num_heads') ?? fixedSize(cache?.[1]);
  const headSize = fixedSize(cache?.[3]);
  return {
    ...(heads === undefined ? {} : { heads }),
    ...(groups === undefined ? {} : { keyValueHeads: groups }),
    ...(headSize === undefined ? {} : { headSize }),
    ...vocabularySize({ index, summary, file }),
  };
}

function vocabularySize({
  index,
  summary,
  file,
}: Pick<OnnxModel, 'index' | 'summary' | 'file'>): ModelFacts {
  const [output] = summary.outputs;
  const logits = fixedSize(output?.shape?.at(-1));
  for (const { op, inputs } of index.nodes) {
    const [table = ''] = inputs;
    const [rows, width, ...others] = file.initializers.get(table)?.dims ?? [];
    const isLookup = op === 'Gather' && rows === logits && others.length === 0;
    if (isLookup && rows !== undefined && width !== undefined) {
      const readers = index.consumersOf(table);
      return {
        vocabularySize: rows,
        hiddenSize: width,
        tiedHead: readers.some((reader) => reader.op !== 'Gather'),
      };
    }
  }
  return {};
}

/** True if a shape is that of a cache rather than an image: only the sequence axis is dynamic. */
function isHeads([, heads, past, headSize]: readonly (number | string)[]): boolean {
  return typeof heads === 'number' && typeof past === 'string' && typeof headSize === 'number';
}

function fixedSize(size: number | string | undefined): number | undefined {
  return typeof size === 'number' ? size : undefined;
}

/** Reads the structure of an ONNX file and the config.json next to it. */
export async function readOnnxSource(
  place: WeightsLocation,
  open: OpenModel,
): Promise<ModelSource> {
  const model = await openGraph(place.weights, open);
  const { file, summary } = model;
  const tensors = new Map([...file.initializers].map(([name, data]) => [name, storedTensor(data)]));
  const sublayers = describeSublayers(model, tensors);
  const { opsets, ops: operators, inputs, outputs, metadata, warnings } = summary;
  return {
    name: summary.name,
    family: 'onnx',
    understood: { by: sublayers.length > 0 ? 'graph' : 'names', reason: undefined },
    tensors: [...tensors.values()],
    sublayers,
    parts: sublayers.length > 0 ? outsideParts(model, tensors) : new Map(),
    config: (await siblingConfig(place.folder)).fields,
    facts: graphFacts(model),
    graph: { opsets, operators, inputs, outputs },
    metadata: { ...producer(model), ...metadata },
    files: await Promise.all(
      file.files.map(async (path) => ({ path, bytes: (await stat(path)).size })),
    ),
    warnings,
  };
}

/**
 * The graph of a file. It can be described where it cannot be run.
 * @throws UserError when the file is missing or damaged.
 */
export async function openGraph(file: string, open: OpenModel): Promise<OnnxModel> {
  const opened = await open(file).catch((error: unknown) => {
    if (error instanceof UserError) {
      return undefined;
    }
    throw error;
  });
  return opened?.headers.format === 'onnx' ? opened.headers.graph.source : openOnnxModel(file);
}

/** The weights that the nodes of each sublayer and the norm of its sum read; of shared ones, the first reader has them. */
function describeSublayers(
  { index, branches, summary }: OnnxModel,
  tensors: ReadonlyMap<string, StoredTensor>,
): KnownSublayer[] {
  const byName = new Map<string, GraphNode[]>();
  for (const node of index.nodes) {
    const name = nodeName(node);
    byName.set(name, [...(byName.get(name) ?? []), node]);
  }
  const taken = new Set<StoredTensor>();
  const width = cacheWidth(summary);
  return summary.sublayers.map(({ nodes, ...sublayer }, i): KnownSublayer => {
    const { sum = '', end = '' } = branches[i] ?? {};
    const norm = sum === end ? [] : [...index.between(sum, end)];
    const read = [...nodes.flatMap((name) => byName.get(name) ?? []), ...norm]
      .flatMap(({ inputs }) => inputs)
      .flatMap((name) => tensors.get(name) ?? []);
    const own = [...new Set(read)].filter((tensor) => !taken.has(tensor));
    own.forEach((tensor) => taken.add(tensor));
    return { summary: sublayer, tensors: own, cacheElements: sublayer.kvBytesPerToken / width };
  });
}

/** Bytes of a number in the caches that the graph takes as inputs, of four axes or five. */
function cacheWidth({ inputs }: OnnxSummary): number {
  const cache = inputs.find(
    ({ shape, dtype }) => (shape?.length === 4 || shape?.length === 5) && dtype.includes('F'),
  );
  return cache?.dtype === 'F32' ? 4 : 2;
}

/** Node name as in a sublayer's summary. */
function nodeName({ proto }: GraphNode): string {
  return proto.name === '' ? `${operatorName(proto)} → ${proto.output.join(', ')}` : proto.name;
}

/**
 * Parts outside of the blocks. After the stream: the final norm and the head. Before it: the
 * embedding of the inputs.
 */
function outsideParts(
  { index, branches }: OnnxModel,
  tensors: ReadonlyMap<string, StoredTensor>,
): Map<StoredTensor, PartKind> {
  const parts = new Map<StoredTensor, PartKind>();
  const last = branches.at(-1);
  const behind = last === undefined ? new Set<GraphNode>() : index.descendants([last.end]);
  for (const node of index.nodes) {
    for (const name of node.inputs) {
      const tensor = tensors.get(name);
      if (tensor === undefined || parts.has(tensor)) {
        continue;
      }
      const isMatrix = tensor.shape.length > 1;
      if (behind.has(node) || leadsTo(node, behind, index)) {
        const byName = partByName(tensor.name);
        parts.set(tensor, isMatrix ? 'head' : byName === 'head' ? 'head' : 'final-norm');
      } else {
        const embeds = isLookup(node) || partByName(tensor.name) === 'embedding';
        parts.set(tensor, embeds ? 'embedding' : 'other');
      }
    }
  }
  return parts;
}

/** Rows that are looked up by the ids of tokens or positions. */
function isLookup({ proto, inputs }: GraphNode): boolean {
  return (
    /(^|:)(Gather|GatherBlockQuantized|EmbedLayerNormalization)$/.test(operatorName(proto)) &&
    inputs.length > 1
  );
}

/** True if one of `readers` uses a constant computed by `node`, such as a transposed weight. */
function leadsTo(
  { outputs }: GraphNode,
  readers: ReadonlySet<GraphNode>,
  index: OnnxModel['index'],
): boolean {
  return outputs.some(
    (output) =>
      index.constants.has(output) &&
      index.consumersOf(output).some((reader) => readers.has(reader)),
  );
}

function storedTensor(data: OnnxInitializer): StoredTensor {
  const { name, dtype, dims, dataType, file, offset, length, mappable } = data;
  const elements = elementCount(dims);
  const bits = dataTypeBits(dataType);
  return {
    name,
    dtype,
    shape: dims,
    parameters: isConstant(data) ? 0 : elements,
    bytes: bits === undefined ? length : Math.ceil((elements * bits) / 8),
    file,
    offset: mappable ? offset : undefined,
  };
}

/** Sizes, axes and single numbers, which are part of the graph and not learned. */
function isConstant({ dtype, dims }: OnnxInitializer): boolean {
  return dims.length === 0 || ['I64', 'I32', 'BOOL', 'STRING'].includes(dtype);
}

function producer({ file: { model } }: OnnxModel): Record<string, string> {
  const { producerName, producerVersion, irVersion, domain } = model;
  return Object.fromEntries(
    Object.entries({
      producer: [producerName, producerVersion].filter((text) => text !== '').join(' '),
      'IR version': String(irVersion),
      domain,
    }).filter(([, value]) => value !== ''),
  );
}
