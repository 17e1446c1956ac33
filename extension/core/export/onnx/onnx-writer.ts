import { join } from 'node:path';
import { stream } from '../../models/model-emitter';
import type { ModelInputs, StepEmitter, SublayerCache, Values } from '../../models/model-emitter';
import type { ModelSummary } from '../../models/model-summary';
import { DataType, GraphBuilder } from '../../onnx/graph-builder';
import type { Dimension, ExternalLocation, Value } from '../../onnx/graph-builder';
import type { ByteCopier, ByteRange } from '../byte-copier';
import { writeAll, writeFlushed } from '../byte-copier';
import type { Changes } from '../changes';

export const onnxName = 'model.onnx';
const defaultNames = { graph: onnxName, data: 'model.onnx_data' };
/** Initializers can be mapped into memory where they begin at a page, which small ones need not. */
const pageBytes = 4096;
const smallBytes = 16 * pageBytes;
const smallAlignment = 64;

/** A weight whose bytes are copied into the data file. */
export interface OnnxData extends ByteRange {
  readonly name: string;
  /** Byte ranges to concatenate, if parts of the tensor are removed. */
  readonly ranges?: readonly ByteRange[];
}

/** A graph that can be written, and the weights that go with it. */
export interface OnnxSource {
  readonly externalData: readonly OnnxData[];
  readonly toBytes: (
    locate: (data: OnnxData) => ExternalLocation,
    metadata?: Readonly<Record<string, string>>,
  ) => Uint8Array;
}

/** Names of optimum's exports for sizes known only when the graph runs. */
const sizes = {
  batch: 'batch_size',
  sequence: 'sequence_length',
  past: 'past_sequence_length',
  total: 'total_sequence_length',
} as const;

/**
 * Emits the whole model without the removed sublayers, with inputs and outputs as optimum names
 * them: input_ids and position_ids int64 [batch, sequence], attention_mask int64 [batch, total],
 * past_key_values.I.key and .value float32 [batch, numKeyValueHeads, past, headDim] → logits float32
 * [batch, sequence, vocabulary], present.I.key and .value [batch, numKeyValueHeads, total, headDim]. A mixer has
 * .conv_state [batch, channels, kernel - 1] and .recurrent_state instead, zeros in front of a text.
 * I counts the attention sublayers and mixers that remain.
 */
export function buildOnnxGraph(
  model: { readonly summary: Pick<ModelSummary, 'name' | 'sublayers'> },
  emitter: StepEmitter,
  changes: Changes,
): GraphBuilder {
  const graph = new GraphBuilder(model.summary.name);
  const inputs: ModelInputs = {
    inputIds: graph.input('input_ids', DataType.INT64, [sizes.batch, sizes.sequence]),
    attentionMask: graph.input('attention_mask', DataType.INT64, [sizes.batch, sizes.total]),
    positionIds: graph.input('position_ids', DataType.INT64, [sizes.batch, sizes.sequence]),
  };
  const prologue = emitter.emitPrologue(graph, inputs);
  const remainingIds = new Set(changes.remaining.map(({ id }) => id));
  const presents: Present[] = [];
  let state: Values = prologue.state;
  let caches = 0;
  for (const [index, { id }] of model.summary.sublayers.entries()) {
    if (!remainingIds.has(id)) {
      state = emitter.emitSkipped(graph, index, state, prologue.side);
      continue;
    }
    const cache = new PortedCache(graph, caches);
    state = emitter.emitSublayer(graph, index, state, prologue.side, {
      cache,
      remainingExperts: changes.remainingExperts.get(id),
    });
    presents.push(...cache.presents);
    caches += cache.presents.length > 0 ? 1 : 0;
  }
  graph.output('logits', emitter.emitEpilogue(graph, state[stream] ?? ''), DataType.FLOAT, [
    sizes.batch,
    sizes.sequence,
    emitter.vocabularySize,
  ]);
  for (const { name, value, shape } of presents) {
    graph.handOver(name, value, DataType.FLOAT, shape);
  }
  return graph;
}

interface Present {
  readonly name: string;
  readonly value: Value;
  readonly shape: readonly Dimension[];
}

/** Cache of a sublayer, as numbered inputs and outputs of the graph. */
class PortedCache implements SublayerCache {
  public readonly presents: Present[] = [];
  private readonly shapes = new Map<string, (length: string) => Dimension[]>();

  public constructor(
    private readonly graph: GraphBuilder,
    private readonly number: number,
  ) {}

  public past(name: string, own: readonly (number | 'positions')[]): Value {
    const shapeAt = (length: string): Dimension[] => [
      sizes.batch,
      ...own.map((size) => (size === 'positions' ? length : size)),
    ];
    this.shapes.set(name, shapeAt);
    const port = `past_key_values.${this.number}.${name}`;
    return this.graph.input(port, DataType.FLOAT, shapeAt(sizes.past));
  }

  public keep(name: string, value: Value): void {
    const shape = this.shapes.get(name)?.(sizes.total) ?? [];
    this.presents.push({ name: `present.${this.number}.${name}`, value, shape });
  }
}

/**
 * Offsets of initializers in the data file, in order of use. Initializers that share bytes in the
 * source also share them here.
 */
export function planOnnxData(graph: Pick<OnnxSource, 'externalData'>): {
  offsets: ReadonlyMap<string, number>;
  bytes: number;
} {
  const offsets = new Map<string, number>();
  const placed = new Map<string, number>();
  let end = 0;
  for (const data of graph.externalData) {
    const { name, length } = data;
    const place = dataKey(data);
    const alignment = length < smallBytes ? smallAlignment : pageBytes;
    const offset = placed.get(place) ?? Math.ceil(end / alignment) * alignment;
    offsets.set(name, offset);
    if (!placed.has(place)) {
      placed.set(place, offset);
      end = offset + length;
    }
  }
  return { offsets, bytes: end };
}

function dataKey({ name, file, offset, length, ranges }: OnnxData): string {
  return ranges === undefined ? `${file}:${offset}:${length}` : name;
}

/** Writes the graph and the file of its weights, each byte as stored. Gives their names. */
export async function writeOnnx(
  folder: string,
  graph: OnnxSource,
  metadata: Readonly<Record<string, string>>,
  copier: ByteCopier,
  names: { readonly graph: string; readonly data: string } = defaultNames,
): Promise<string[]> {
  const { offsets } = planOnnxData(graph);
  const dataOffset = ({ name }: OnnxData): number => offsets.get(name) ?? 0;
  const dataPath = join(folder, names.data);
  const hasData = graph.externalData.length > 0;
  if (hasData) {
    await writeFlushed(dataPath, async (handle) => {
      const distinct = new Map(graph.externalData.map((data) => [dataKey(data), data]));
      for (const data of distinct.values()) {
        await copier.copy(data.ranges ?? [data], handle, dataPath, dataOffset(data));
      }
    });
  }
  const graphPath = join(folder, names.graph);
  const bytes = graph.toBytes(
    (data) => ({ location: names.data, offset: dataOffset(data) }),
    metadata,
  );
  await writeFlushed(graphPath, async (handle) => writeAll(handle, graphPath, bytes, 0));
  return hasData ? [names.graph, names.data] : [names.graph];
}
