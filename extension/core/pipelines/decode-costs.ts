import { writableTypes } from '../checkpoints/ggml-types';
import type { WritableType } from '../checkpoints/ggml-types';
import type { JobContext } from '../jobs/job';
import { say } from '../message';
import { modelStacks } from '../models/layer-stacks';
import type { LayerStack } from '../models/layer-stacks';
import type { EmbeddingOrHead } from '../models/matrix-encoding';
import type { OpenedModel } from '../models/opened-model';
import { installedLlama } from '../runtime/llama/installation';
import { LlamaError, timeWithLlama } from '../runtime/llama/run-llama';
import { predictTime } from '../tensornet/costs/kernels';
import { costsInFolder } from '../tensornet/costs/machine-costs';
import { compressionMethods } from '../tensornet/compression-methods';
import { settingType } from '../tensornet/compression-choice';
import { expandCompressions } from '../tensornet/sensitivity/expand-compressions';
import type {
  LayerSensitivity,
  MatrixSensitivity,
  EmbeddingOrHeadSensitivity,
  SensitivityProfile,
} from '../tensornet/sensitivity/sensitivity-profile';
import { machines } from './machines';
import type { MachineName } from './machines';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import * as v from 'valibot';
import { quantizeRows, rowBytes } from '../checkpoints/quantize/quantizers';
import { seededRandom, standardNormal } from '../data/random';
import { ByteCopier } from '../export/byte-copier';
import type { GgufTensor } from '../export/gguf/gguf-tensors';
import { layOutGguf, writeGguf } from '../export/gguf/gguf-writer';
import { headerEntry } from '../export/gguf/header-entries';
import { checkpoint } from '../jobs/job';
import { writeDocument } from '../jobs/write-document';
import { parseJsonText } from '../parse-json';
import { readSmallText } from '../regular-file';
import type { LlamaInstallation } from '../runtime/llama/installation';
import { slowdown, machineName } from '../runtime/speed/work-rates';

/** Time to decode a token in llama.cpp. */
export interface DecodeCosts {
  /** Milliseconds to multiply with a byte of weights of a type. */
  readonly msPerByte: (type: string) => number;
  /** Milliseconds of everything else. */
  readonly restMs: number;
  /** `llama.cpp`: each type was timed in it on this machine. `bandwidth`: every byte takes the same time. */
  readonly source: 'llama.cpp' | 'bandwidth';
}

/** Share of the peak bandwidth of a machine at which weights are read. */
const usedBandwidth = 0.6;

/** Costs if only reading weights takes time. */
export const bandwidthCosts = (bytesPerSecond: number): DecodeCosts => ({
  msPerByte: () => 1000 / bytesPerSecond,
  restMs: 0,
  source: 'bandwidth',
});

/** Types that a mix chooses from, or that the matrices of a model have. */
function timedTypes(opened: OpenedModel): WritableType[] {
  const all = multiplied(opened);
  const chosen = all.flatMap((matrix) =>
    expandCompressions(matrix, [{ method: 'gguf' }]).map(({ setting }) => settingType(setting)),
  );
  const stored = all.map(storedType);
  return writableTypes.filter((type) => chosen.includes(type) || stored.includes(type));
}

/**
 * Costs of decoding a model on a machine, or on this one: timed in llama.cpp if that is installed, otherwise by the
 * memory bandwidth that matmuls reach here.
 */
export async function decodeCosts(
  opened: OpenedModel,
  machine: MachineName | undefined,
  { costsFolder }: { readonly costsFolder: string },
  context: JobContext,
): Promise<DecodeCosts> {
  if (machine !== undefined) {
    return bandwidthCosts(usedBandwidth * machines[machine].bytesPerSecond);
  }
  const llama = await installedLlama();
  if (llama !== undefined) {
    try {
      const { blockMs, msPerByte } = await typeSpeeds(
        llama,
        timedTypes(opened),
        costsFolder,
        context,
      );
      const known = Object.values(msPerByte);
      const slowest = Math.max(...known);
      return {
        msPerByte: (type) => msPerByte[type] ?? slowest,
        restMs: blockMs * opened.summary.blocks,
        source: 'llama.cpp',
      };
    } catch (error) {
      if (!(error instanceof LlamaError)) {
        throw error;
      }
      context.warn(say`llama.cpp can't time types here: ${error.reason}. Speed is estimated.`);
    }
  }
  const { rates } = await costsInFolder(costsFolder, 'cpu', context);
  const bytes = 1 << 26;
  const work = { calls: 1, bytes, macs: bytes / Float32Array.BYTES_PER_ELEMENT, moved: 0 };
  return bandwidthCosts((1000 * bytes) / predictTime(rates.dense, work));
}

/** True for an embedding that is only looked up. */
const isLookup = (matrix: {
  readonly place?: EmbeddingOrHead['place'];
  readonly tiedTo?: string | undefined;
}): boolean => matrix.place === 'embedding' && matrix.tiedTo === undefined;

/** A profile of types with the times of a token in llama.cpp. */
export function withDecodeTimes(
  table: SensitivityProfile,
  { msPerByte }: DecodeCosts,
  { model }: OpenedModel,
): SensitivityProfile {
  const { gguf } = table;
  const matrices = new Map(
    [...modelStacks(model), ...model.embeddingAndHeadMatrices].map((matrix) => [matrix.id, matrix]),
  );
  const timed = <Matrix extends MatrixSensitivity>(matrix: Matrix, isRead: boolean): Matrix => {
    const own = matrices.get(matrix.tensor);
    const share = isRead && own !== undefined ? readShare(own) : 0;
    const stored = Object.values(gguf?.tensors[matrix.tensor] ?? {}).reduce((a, b) => a + b, 0);
    return {
      ...matrix,
      decodeMsPerToken: share * stored * msPerByte(own === undefined ? '' : storedType(own)),
      entries: matrix.entries.map((entry) => ({
        ...entry,
        decodeMsPerToken: share * entry.bytes * msPerByte(entry.type ?? ''),
      })),
    };
  };
  return {
    ...table,
    layers: table.layers.map((layer: LayerSensitivity) => timed(layer, true)),
    ...(table.embeddingAndHead === undefined
      ? {}
      : {
          embeddingAndHead: table.embeddingAndHead.map((one: EmbeddingOrHeadSensitivity) =>
            timed(one, !isLookup(one)),
          ),
        }),
  };
}

/** Matrices that a token is multiplied with; a tied head counts once, as the embedding. */
const multiplied = ({ model }: OpenedModel): (LayerStack | EmbeddingOrHead)[] =>
  [
    ...modelStacks(model),
    ...model.embeddingAndHeadMatrices.filter(
      ({ place, tiedTo }) => place === 'head' || tiedTo !== undefined,
    ),
  ].filter((one) => !('place' in one && one.place === 'head' && one.tiedTo !== undefined));

/** Linear layers of a matrix: those of all experts if it is a stack. */
const matrixLayers = (
  matrix: LayerStack | EmbeddingOrHead,
): readonly (LayerStack['layers'][number] | EmbeddingOrHead)[] =>
  'layers' in matrix ? matrix.layers : [matrix];

const storedType = (matrix: LayerStack | EmbeddingOrHead): string =>
  matrixLayers(matrix)[0]?.weight.dtype ?? '';

/** Share of a matrix that is read for a token: that of the chosen experts. */
function readShare(matrix: LayerStack | EmbeddingOrHead): number {
  const layers = matrixLayers(matrix);
  const shares = layers.map((layer) => ('expert' in layer ? layer.expert.share : 1));
  return shares.reduce((sum, share) => sum + share, 0) / layers.length;
}

/** Time to read a matrix as stored for a token, in milliseconds. */
const storedMs = (matrix: LayerStack | EmbeddingOrHead, { msPerByte }: DecodeCosts): number =>
  readShare(matrix) *
  matrixLayers(matrix).reduce(
    (sum, { weight }) => sum + weight.length * msPerByte(weight.dtype),
    0,
  );

/** Decode time of the original in llama.cpp, in milliseconds. */
export const originalDecodeMs = (opened: OpenedModel, costs: DecodeCosts): number =>
  multiplied(opened).reduce((sum, matrix) => sum + storedMs(matrix, costs), costs.restMs);

/** Decode time of the fastest mix of types, in milliseconds. */
export function leastDecodeMs(opened: OpenedModel, costs: DecodeCosts): number {
  return multiplied(opened).reduce((sum, matrix) => {
    const times = expandCompressions(matrix, [{ method: 'gguf' }]).map(({ setting }) => {
      const type: WritableType = settingType(setting);
      const bytes = compressionMethods.gguf.bytes?.(matrix, setting) ?? Infinity;
      return readShare(matrix) * bytes * costs.msPerByte(type);
    });
    return sum + Math.min(storedMs(matrix, costs), ...times);
  }, costs.restMs);
}

const milliseconds = v.pipe(v.number(), v.minValue(0));
const speedsSchema = v.strictObject({
  format: v.literal('espalier.typespeeds'),
  version: v.literal(1),
  machine: v.string(),
  /** Milliseconds of a block without its weights. */
  blockMs: milliseconds,
  /** Milliseconds per byte of weights, by type. */
  msPerByte: v.record(v.string(), milliseconds),
});

/** Decode times of llama.cpp on this machine, by type of the weights. */
type TypeSpeeds = Readonly<v.InferOutput<typeof speedsSchema>>;

/** Sizes of a model that is timed. */
interface TimedSizes {
  readonly hiddenSize: number;
  readonly feedForward: number;
  readonly blocks: number;
}

/** 67 M weights, more than the caches of a CPU hold in most types. */
const large: TimedSizes = { hiddenSize: 1024, feedForward: 4096, blocks: 4 };
/** Model so small that reading its weights takes almost no time. */
const small: TimedSizes = { hiddenSize: 256, feedForward: 256, blocks: 16 };
const vocabularySize = 32;
const headSize = 64;
const timing = { context: 32, tokens: 32, repeats: 3, seconds: 3 } as const;

/**
 * Decode times of types in llama.cpp, which are measured once on a quiet machine and stored in its cache.
 * @param types to time
 * @throws LlamaError if llama.cpp doesn't run
 */
async function typeSpeeds(
  llama: LlamaInstallation,
  types: readonly WritableType[],
  costsFolder: string,
  context: JobContext,
): Promise<TypeSpeeds> {
  const file = join(costsFolder, 'llama-types.json');
  const machine = `${machineName()}, llama.cpp ${llama.llamaCpp}`;
  const known = await readSpeeds(file);
  let speeds: TypeSpeeds =
    known?.machine === machine
      ? known
      : { format: 'espalier.typespeeds', version: 1, machine, blockMs: 0, msPerByte: {} };
  const open = types.filter((type) => speeds.msPerByte[type] === undefined);
  if (open.length === 0) {
    return speeds;
  }
  const folder = await mkdtemp(join(tmpdir(), 'espalier-types-'));
  try {
    const time = async (type: WritableType, sizes: TimedSizes): Promise<number> =>
      timeType(llama, join(folder, 'timed.gguf'), { type, ...sizes }, context);
    if (speeds.blockMs === 0) {
      speeds = { ...speeds, blockMs: (await time('Q8_0', small)) / small.blocks };
    }
    for (const [i, type] of open.entries()) {
      await checkpoint(context.cancellation);
      context.progress({
        stage: say`Timing the types of GGUF files in llama.cpp`,
        ...{ done: i, total: open.length, unit: 'steps' },
      });
      const weightsMs = (await time(type, large)) - large.blocks * speeds.blockMs;
      const msPerByte = Math.max(0, weightsMs) / weightBytes(type, large);
      speeds = { ...speeds, msPerByte: { ...speeds.msPerByte, [type]: msPerByte } };
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  if (slowdown(0) > 1) {
    context.warn(
      say`Other programs are running, so the times of types in llama.cpp may be too long. They are not kept.`,
    );
    return speeds;
  }
  await mkdir(dirname(file), { recursive: true });
  await writeDocument(file, speeds);
  return speeds;
}

async function readSpeeds(file: string): Promise<TypeSpeeds | undefined> {
  try {
    return v.parse(speedsSchema, parseJsonText(await readSmallText(file)));
  } catch {
    // Missing, or from another version: measure again.
    return undefined;
  }
}

/** Output and input sizes of the matrices of a block, by name. */
const blockShapes = ({
  hiddenSize,
  feedForward,
}: TimedSizes): Readonly<Record<string, readonly [number, number]>> => ({
  attn_q: [hiddenSize, hiddenSize],
  attn_k: [hiddenSize, hiddenSize],
  attn_v: [hiddenSize, hiddenSize],
  attn_output: [hiddenSize, hiddenSize],
  ffn_gate: [feedForward, hiddenSize],
  ffn_up: [feedForward, hiddenSize],
  ffn_down: [hiddenSize, feedForward],
});

const weightBytes = (type: WritableType, sizes: TimedSizes): number =>
  sizes.blocks *
  Object.values(blockShapes(sizes)).reduce(
    (sum, [out, inputs]) => sum + out * rowBytes(type, inputs),
    0,
  );

/** Milliseconds to decode a token in llama.cpp with a llama model whose blocks all use one type. */
async function timeType(
  llama: LlamaInstallation,
  path: string,
  { type, ...sizes }: TimedSizes & { readonly type: WritableType },
  context: JobContext,
): Promise<number> {
  const { hiddenSize, feedForward, blocks } = sizes;
  const heads = hiddenSize / headSize;
  const floats = (name: string, shape: readonly number[]): GgufTensor =>
    given(name, shape, 'F32', repeated('F32', shape));
  const matrices = Object.entries(blockShapes(sizes)).map(
    ([name, shape]) => [name, shape, repeated(type, shape)] as const,
  );
  const tensors = [
    floats('token_embd.weight', [vocabularySize, hiddenSize]),
    floats('output_norm.weight', [hiddenSize]),
    floats('output.weight', [vocabularySize, hiddenSize]),
    ...Array.from({ length: blocks }, (_, block) => [
      floats(`blk.${block}.attn_norm.weight`, [hiddenSize]),
      floats(`blk.${block}.ffn_norm.weight`, [hiddenSize]),
      ...matrices.map(([name, shape, bytes]) =>
        given(`blk.${block}.${name}.weight`, shape, type, bytes),
      ),
    ]).flat(),
  ];
  const entries = [
    headerEntry.text('general.architecture', 'llama'),
    headerEntry.integer('llama.block_count', blocks),
    headerEntry.integer('llama.context_length', timing.context + timing.tokens),
    headerEntry.integer('llama.embedding_length', hiddenSize),
    headerEntry.integer('llama.feed_forward_length', feedForward),
    headerEntry.integer('llama.attention.head_count', heads),
    headerEntry.float('llama.attention.layer_norm_rms_epsilon', 1e-5),
    headerEntry.integer('llama.vocab_size', vocabularySize),
    headerEntry.text('tokenizer.ggml.model', 'no_vocab'),
  ];
  const plan = layOutGguf(entries, tensors, { version: 3, alignment: 32 });
  const quiet = { ...context, progress: () => undefined };
  const copier = new ByteCopier(plan.bytes, quiet);
  try {
    await writeGguf(path, plan, copier);
  } finally {
    await copier.close();
  }
  try {
    const task = { model: path, ...timing, vocabularySize };
    const { decodeTokensPerSecond } = await timeWithLlama(llama, task, quiet);
    return 1000 / decodeTokensPerSecond;
  } finally {
    await rm(path, { force: true });
  }
}

const given = (
  name: string,
  shape: readonly number[],
  type: WritableType,
  bytes: Uint8Array,
): GgufTensor => ({ name, shape, type, length: bytes.length, source: { kind: 'given', bytes } });

/** Bytes of a tensor of a type with identical rows. */
function repeated(type: WritableType, shape: readonly number[]): Uint8Array {
  const length = shape.at(-1) ?? 1;
  const rows = shape.reduce((product, size) => product * size, 1) / length;
  const random = seededRandom(length);
  const row = quantizeRows(
    type,
    Float32Array.from({ length }, () => standardNormal(random) / Math.sqrt(length)),
    length,
  );
  const bytes = new Uint8Array(rows * row.length);
  for (let i = 0; i < rows; i++) {
    bytes.set(row, i * row.length);
  }
  return bytes;
}
