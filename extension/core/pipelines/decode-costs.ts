import { writableTypes } from '../checkpoints/ggml-types';
import type { WritableType } from '../checkpoints/ggml-types';
import type { JobContext } from '../jobs/job';
import { say } from '../message';
import { modelStacks } from '../models/layer-stacks';
import type { LayerStack } from '../models/layer-stacks';
import type { EmbeddingOrHead } from '../models/matrix-encoding';
import type { OpenedModel } from '../models/opened-model';
import { installedLlama } from '../runtime/llama/installation';
import { LlamaError } from '../runtime/llama/run-llama';
import { costsInFolder } from '../tensornet/costs/costs-in-folder';
import { predictTime } from '../tensornet/costs/fit-rates';
import { compressionMethods } from '../tensornet/compression-methods';
import { levelType } from '../tensornet/compression-choice';
import { expandCompressions } from '../tensornet/sensitivity/expand-compressions';
import type {
  LayerSensitivity,
  MatrixSensitivity,
  EmbeddingOrHeadSensitivity,
  SensitivityProfile,
} from '../tensornet/sensitivity/sensitivity-profile';
import { machines } from './machines';
import type { MachineName } from './machines';
import { typeSpeeds } from './type-speeds';

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
    expandCompressions(matrix, [{ method: 'gguf' }]).map(({ level }) => levelType(level)),
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
    const times = expandCompressions(matrix, [{ method: 'gguf' }]).map(({ level }) => {
      const type: WritableType = levelType(level);
      const bytes = compressionMethods.gguf.bytes?.(matrix, level) ?? Infinity;
      return readShare(matrix) * bytes * costs.msPerByte(type);
    });
    return sum + Math.min(storedMs(matrix, costs), ...times);
  }, costs.restMs);
}
