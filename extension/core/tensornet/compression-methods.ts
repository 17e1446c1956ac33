import type { TensorData } from '../checkpoints/lazy-tensor';
import { ggmlTypeNumber } from '../checkpoints/ggml-types';
import type { WritableType } from '../checkpoints/ggml-types';
import { fittingType, roundRows, rowBytes } from '../checkpoints/quantize/quantizers';
import { embeddingAndHeadNames } from '../models/matrix-encoding';
import type { MatrixEncoding, ModelMatrix, EmbeddingOrHead } from '../models/matrix-encoding';
import type { ErrorCode } from '../error-codes';
import { UserError } from '../user-error';
import type { MatrixWork, CompressionContext } from './compression-context';
import { isSetting, settingWords, embeddingMethods, settingType } from './compression-choice';
import type { Compression, MethodName } from './compression-choice';
import { decompose, lowRankForm, lowRankVariants, rankForRatio } from './low-rank';
import { bondForRatio, chooseSites, mpoVariants, prepareMpo } from './mpo-form';
import {
  groupSizesFor,
  blockVariants,
  compensates,
  compressInt4,
  compressInt8,
  defaultGroupSize,
  smooth,
} from './quantize/quantizers';
import type { Message } from '../message';
import { say } from '../message';
import type { Rows } from '../linear-algebra/matrix-source';

/** Variant that weights rounding by the mean square of a layer's inputs, like an importance matrix. */
export const byImportance = 'importance';

const ggufVariants: readonly string[] = ['plain', byImportance];

/**
 * Dequantized values of a matrix [out, in] after storing it as a GGUF `type`.
 * @throws Error if `importance` has no statistics
 */
async function roundToType(
  { statistics }: CompressionContext,
  { count, length, numbers }: Rows,
  type: WritableType,
  variant: string,
): Promise<MatrixEncoding<TensorData>> {
  const importance = variant === byImportance ? meanSquares(statistics) : undefined;
  const rounded = roundRows(type, numbers, length, importance);
  return Promise.resolve({
    kind: 'dense',
    weight: { dtype: 'F32', shape: [count, length], bytes: new Uint8Array(rounded.buffer) },
  });
}

/** Mean square of each input; 1 for inputs without data, as llama.cpp reads importance matrices. */
function meanSquares(statistics: CompressionContext['statistics']): Float32Array {
  if (statistics === undefined) {
    throw new Error(`${byImportance} needs statistics of the inputs`);
  }
  const {
    gram: { size, numbers },
    count,
  } = statistics;
  return Float32Array.from({ length: size }, (_, i) =>
    count > 0 ? (numbers[i * size + i] ?? 0) / count : 1,
  );
}

/** Bytes of a matrix stored as a type. */
function typeBytes(
  { out, in: inputs }: Pick<ModelMatrix, 'out' | 'in'>,
  type: WritableType,
): number {
  return out * rowBytes(type, inputs);
}

/** Compresses a matrix to a setting, for methods whose settings share nothing. */
const bySetting =
  (
    compress: (
      context: CompressionContext,
      matrix: Rows,
      setting: number,
      variant: string,
    ) => Promise<MatrixEncoding<TensorData>>,
  ): CompressionMethod['prepare'] =>
  ({ context, matrix }, variant) =>
  async ({ setting }) =>
    compress(context, matrix, setting, variant);

/** Sizes of a matrix. */
export type MatrixSizes = Pick<ModelMatrix, 'out' | 'in'>;

/** Compression method; defines everything that differs between methods. */
export interface CompressionMethod {
  /** Variants; the default without calibration is first. */
  readonly variants: readonly string[];
  /** Default variant with calibration. */
  readonly calibratedVariant: (setting: number | undefined) => string;
  readonly needsCalibration: (variant: string) => boolean;
  /**
   * Typical change of log(distance / squared output error) from setting to setting, per unit of the logarithm of that error
   * (measured on SmolLM2-135M).
   */
  readonly turn: number;
  /** True if a setting also quantizes a layer's inputs, which its output error from changed weights doesn't include. */
  readonly roundsInputs?: (setting: number) => boolean;
  /** Calibration tokens per input of a layer, above which the default variant gains little. */
  readonly tokensPerInput: number;
  /** Settings worth trying on a matrix, from the mildest to the strongest. */
  readonly settings: (layer: MatrixSizes) => number[];
  /**
   * Mildest setting that keeps at most `ratio` of the parameters; undefined if settings don't change their number.
   */
  readonly settingForRatio?: (
    layer: MatrixSizes,
    ratio: number,
    compression?: Partial<Compression>,
  ) => number;
  readonly defaultSetting: (layer: MatrixSizes) => number;
  /** Setting to use for a matrix whose sizes don't fit the requested one. */
  readonly fittingSetting?: (layer: MatrixSizes, setting: number) => number;
  /** Size in bytes, if it differs from the encoding's. */
  readonly bytes?: (layer: MatrixSizes, setting: number) => number;
  /**
   * Computes what all settings of a variant share, up to the highest requested setting.
   * @throws UserError if the matrix isn't supported
   */
  readonly prepare: (
    work: MatrixWork,
    variant: string,
    highestSetting: number,
  ) => Compress | Promise<Compress>;
}

/** Encodes a matrix at a setting. */
export type Compress = (compression: Compression) => Promise<MatrixEncoding<TensorData>>;

/** Parameter ratios to try, and the defaults. */
const ratios = [0.6, 0.4, 0.3, 0.2, 0.1];
const defaultMpoRatio = 0.3;
const defaultRankRatio = 0.4;

/** GGUF types to try, from the mildest to the strongest, and the default. */
const ggufTypes: readonly WritableType[] = [
  'Q8_0',
  'Q6_K',
  'Q5_K',
  'Q4_K',
  'Q4_0',
  'IQ4_XS',
  'Q3_K',
  'Q2_K',
];
const defaultGgufType = 'Q4_K';

export const compressionMethods: Readonly<Record<MethodName, CompressionMethod>> = {
  mpo: {
    variants: mpoVariants,
    calibratedVariant: () => 'scaled',
    needsCalibration: (variant) => variant === 'scaled',
    turn: 0.4,
    tokensPerInput: 0,
    settings: ({ out, in: inputs }) =>
      distinct(ratios.map((ratio) => bondForRatio(chooseSites(out, inputs), ratio))),
    settingForRatio: ({ out, in: inputs }, ratio, compression) =>
      bondForRatio(chooseSites(out, inputs, compression?.sites), ratio),
    defaultSetting: ({ out, in: inputs }) =>
      bondForRatio(chooseSites(out, inputs), defaultMpoRatio),
    prepare: prepareMpo,
  },
  lowrank: {
    variants: lowRankVariants,
    calibratedVariant: () => 'covariance',
    needsCalibration: (variant) => variant !== 'plain',
    turn: 0.12,
    // Output directions that few tokens use are lost.
    tokensPerInput: 16,
    settings: (layer) => distinct(ratios.map((ratio) => rankForRatio(layer, ratio))),
    settingForRatio: rankForRatio,
    defaultSetting: (layer) => rankForRatio(layer, defaultRankRatio),
    prepare: async (work, variant, highestRank) => {
      const found = await decompose(work, highestRank, variant);
      return async ({ setting, then }) => lowRankForm(work.context, found, setting, then);
    },
  },
  int8: {
    variants: ['rtn', ...blockVariants.filter((variant) => variant !== 'rtn'), smooth],
    calibratedVariant: (setting) => (setting === 0 ? smooth : 'rtn'),
    needsCalibration: (variant) => variant === smooth || compensates(variant),
    turn: 0.45,
    roundsInputs: (setting) => setting === 0,
    tokensPerInput: 0,
    // One scale per output is faster for many rows.
    settings: () => [defaultGroupSize, 0],
    defaultSetting: () => defaultGroupSize,
    prepare: bySetting(compressInt8),
  },
  int4: {
    variants: blockVariants,
    calibratedVariant: () => 'gptq',
    needsCalibration: compensates,
    turn: 0.45,
    tokensPerInput: 0,
    settings: groupSizesFor,
    defaultSetting: () => defaultGroupSize,
    prepare: bySetting(compressInt4),
  },
  gguf: {
    variants: ggufVariants,
    calibratedVariant: () => byImportance,
    needsCalibration: (variant) => variant === byImportance,
    turn: 0.45,
    tokensPerInput: 0,
    settings: (layer) => distinct(ggufTypes.map((type) => fittingNumber(layer, type))),
    defaultSetting: (layer) => fittingNumber(layer, defaultGgufType),
    fittingSetting: (layer, setting) => fittingNumber(layer, settingType(setting)),
    bytes: (layer, setting) => typeBytes(layer, settingType(setting)),
    prepare: bySetting(async (context, matrix, setting, variant) =>
      roundToType(context, matrix, settingType(setting), variant),
    ),
  },
};

/** ggml's number of a type, or of llama.cpp's fallback type if rows can't be divided into its blocks. */
function fittingNumber({ in: inputs }: MatrixSizes, type: WritableType): number {
  return ggmlTypeNumber(fittingType(type, inputs));
}

function distinct(settings: readonly number[]): number[] {
  return [...new Set(settings)];
}

/** Inputs for choosing a compression's variant; the setting may not be known yet. */
export interface VariantChoice extends Pick<Compression, 'method' | 'variant'> {
  readonly setting?: number | undefined;
}

/** Variant of a compression. */
export function resolveVariant(
  { method, setting, variant }: VariantChoice,
  isCalibrated: boolean,
): string {
  const { variants, calibratedVariant } = compressionMethods[method];
  return variant ?? (isCalibrated ? calibratedVariant(setting) : (variants[0] ?? ''));
}

/**
 * Checks that a compression fits a layer. The inputs of an embedding or a head aren't measured.
 * @throws UserError that names the layer if the compression isn't possible
 */
export function requireFit(
  layer: ModelMatrix | EmbeddingOrHead,
  compression: Compression,
  isCalibrated: boolean,
): void {
  const { method, setting, then } = compression;
  const { variants, needsCalibration } = compressionMethods[method];
  const refuse = (code: ErrorCode, problem: Message, remedy: Message): never => {
    throw new UserError(code, problem, { file: layer.weight.file, field: layer.id, remedy });
  };
  if (layer.encoding !== undefined) {
    refuse(
      'layer-compressed-already',
      say`The layer is compressed already.`,
      say`Compress the model that it was made from.`,
    );
  }
  if (!isSetting(method, setting)) {
    refuse(
      'compression-setting-invalid',
      say`${setting} is not a valid setting of ${method}.`,
      say`Add ${settingWords[method]}.`,
    );
  }
  if ('place' in layer && !embeddingMethods.some((name) => name === method)) {
    refuse(
      'embedding-not-compressible',
      say`The ${embeddingAndHeadNames[layer.place]} cannot be compressed by ${method}.`,
      say`Use one of ${embeddingMethods.join(', ')}.`,
    );
  }
  const variant = resolveVariant(compression, isCalibrated && !('place' in layer));
  if (!variants.includes(variant)) {
    refuse(
      'compression-variant-unknown',
      say`${method} has no variant "${variant}".`,
      say`Use one of ${variants.join(', ')}.`,
    );
  }
  if (
    method === 'int8' &&
    (setting === 0 ? !['rtn', smooth].includes(variant) : variant === smooth)
  ) {
    refuse(
      'compression-variant-unknown',
      say`int8:${setting} has no variant "${variant}".`,
      setting === 0 ? say`Add a group size.` : say`Leave the group size out: int8:0.`,
    );
  }
  if (needsCalibration(variant) && 'place' in layer) {
    refuse(
      'variant-not-for-embedding',
      say`The ${embeddingAndHeadNames[layer.place]} is rounded without calibration, which the variant "${variant}" requires.`,
      say`Use one of ${variants.filter((name) => !needsCalibration(name)).join(', ')}.`,
    );
  }
  if (needsCalibration(variant) && !isCalibrated) {
    refuse(
      'calibration-missing',
      say`The variant "${variant}" of ${method} needs calibration.`,
      say`Choose a calibration text.`,
    );
  }
  if (then !== undefined && method !== 'lowrank') {
    refuse(
      'then-unsupported',
      say`${then} can't quantize the results of ${method}.`,
      say`Only low-rank factors can be quantized: remove "then".`,
    );
  }
}
