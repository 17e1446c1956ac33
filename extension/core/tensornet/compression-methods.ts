import type { TensorData } from '../checkpoints/tensor-data';
import { ggmlTypeNumber } from '../checkpoints/ggml-types';
import type { WritableType } from '../checkpoints/ggml-types';
import { fittingType } from '../checkpoints/quantize/quantizers';
import { outerNames } from '../models/matrix-encoding';
import type { MatrixEncoding, ModelMatrix, OuterMatrix } from '../models/matrix-encoding';
import { UserError } from '../user-error';
import type { MatrixWork } from './compression-context';
import { isLevel, levelWords, outerMethods, typeOfLevel } from './compression-choice';
import type { Compression, MethodName } from './compression-choice';
import { byImportance, bytesOfType, ggufVariants, roundToType } from './gguf-types';
import { decompose, lowRankForm, lowRankVariants, rankForRatio } from './low-rank';
import { bondForRatio, sitesOf } from './mpo-sites';
import { mpoVariants, prepareMpo } from './mpo-form';
import {
  blockSizesFor,
  blockVariants,
  compensates,
  compressInt4,
  compressInt8,
  defaultBlockSize,
  smooth,
} from './quantize/quantizers';
import type { Message } from '../message';
import { say } from '../message';

/** Sizes of a matrix. */
export type MatrixSizes = Pick<ModelMatrix, 'out' | 'in'>;

/** A way to compress matrices. Everything in which methods differ stands here. */
export interface CompressionMethod {
  /** Ways to go about it, the default without calibration first. */
  readonly variants: readonly string[];
  /** The default with calibration. */
  readonly calibratedVariant: (level: number | undefined) => string;
  readonly needsCalibration: (variant: string) => boolean;
  /**
   * By how much the logarithm of distance over squared error of the outputs typically changes from level to level,
   * for each unit of the logarithm of that error (SmolLM2-135M).
   */
  readonly turn: number;
  /** Whether a level rounds a layer's inputs too, which the error of its outputs by changed weights does not show. */
  readonly roundsInputs?: (level: number) => boolean;
  /** Calibration tokens for each input of a layer, beyond which the default variant gains little by more. */
  readonly tokensPerInput: number;
  /** Levels worth trying on a matrix, the mildest first. */
  readonly levels: (layer: MatrixSizes) => number[];
  /**
   * The mildest level that leaves at most `ratio` of the parameters; undefined where levels do not
   * change their number.
   */
  readonly levelForRatio?: (
    layer: MatrixSizes,
    ratio: number,
    compression?: Partial<Compression>,
  ) => number;
  readonly defaultLevel: (layer: MatrixSizes) => number;
  /** The level that a matrix takes for the one that is asked for, where its sizes don't fit that. */
  readonly fittingLevel?: (layer: MatrixSizes, level: number) => number;
  /** Bytes where they are others than those of the form that stands for it. */
  readonly bytes?: (layer: MatrixSizes, level: number) => number;
  /**
   * Does what all levels of a variant share, up to the highest one that will be asked for.
   * @throws UserError where the matrix cannot be taken.
   */
  readonly prepare: (
    work: MatrixWork,
    variant: string,
    highestLevel: number,
  ) => Compress | Promise<Compress>;
}

/** Gives the form of a matrix at a level. */
export type Compress = (compression: Compression) => Promise<MatrixEncoding<TensorData>>;

/** Shares of the parameters that are tried, and the defaults. */
const ratios = [0.6, 0.4, 0.3, 0.2, 0.1];
const defaultMpoRatio = 0.3;
const defaultRankRatio = 0.4;

/** Types of GGUF files that are tried, the mildest first, and the default. */
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
    levels: ({ out, in: inputs }) =>
      distinct(ratios.map((ratio) => bondForRatio(sitesOf(out, inputs), ratio))),
    levelForRatio: ({ out, in: inputs }, ratio, compression) =>
      bondForRatio(sitesOf(out, inputs, compression?.sites), ratio),
    defaultLevel: ({ out, in: inputs }) => bondForRatio(sitesOf(out, inputs), defaultMpoRatio),
    prepare: prepareMpo,
  },
  lowrank: {
    variants: lowRankVariants,
    calibratedVariant: () => 'covariance',
    needsCalibration: (variant) => variant !== 'plain',
    turn: 0.12,
    // Directions of the outputs that few tokens take are lost.
    tokensPerInput: 16,
    levels: (layer) => distinct(ratios.map((ratio) => rankForRatio(layer, ratio))),
    levelForRatio: rankForRatio,
    defaultLevel: (layer) => rankForRatio(layer, defaultRankRatio),
    prepare: async (work, variant, highestRank) => {
      const found = await decompose(work, highestRank, variant);
      return async ({ level, then }) => lowRankForm(work.context, found, level, then);
    },
  },
  int8: {
    variants: ['rtn', ...blockVariants.filter((variant) => variant !== 'rtn'), smooth],
    calibratedVariant: (level) => (level === 0 ? smooth : 'rtn'),
    needsCalibration: (variant) => variant === smooth || compensates(variant),
    turn: 0.45,
    roundsInputs: (level) => level === 0,
    tokensPerInput: 0,
    // A scale for each output is faster on many rows.
    levels: () => [defaultBlockSize, 0],
    defaultLevel: () => defaultBlockSize,
    prepare:
      ({ context, matrix }, variant) =>
      async ({ level }) =>
        compressInt8(context, matrix, level, variant),
  },
  int4: {
    variants: blockVariants,
    calibratedVariant: () => 'gptq',
    needsCalibration: compensates,
    turn: 0.45,
    tokensPerInput: 0,
    levels: blockSizesFor,
    defaultLevel: () => defaultBlockSize,
    prepare:
      ({ context, matrix }, variant) =>
      async ({ level }) =>
        compressInt4(context, matrix, level, variant),
  },
  gguf: {
    variants: ggufVariants,
    calibratedVariant: () => byImportance,
    needsCalibration: (variant) => variant === byImportance,
    turn: 0.45,
    tokensPerInput: 0,
    levels: (layer) => distinct(ggufTypes.map((type) => fittingNumber(layer, type))),
    defaultLevel: (layer) => fittingNumber(layer, defaultGgufType),
    fittingLevel: (layer, level) => fittingNumber(layer, typeOfLevel(level)),
    bytes: (layer, level) => bytesOfType(layer, typeOfLevel(level)),
    prepare:
      ({ context, matrix }, variant) =>
      async ({ level }) =>
        roundToType(context, matrix, typeOfLevel(level), variant),
  },
};

/** The number of a type, or of the one that llama.cpp takes where rows can't be divided into its blocks. */
function fittingNumber({ in: inputs }: MatrixSizes, type: WritableType): number {
  return ggmlTypeNumber(fittingType(type, inputs));
}

function distinct(levels: readonly number[]): number[] {
  return [...new Set(levels)];
}

/** What decides which variant a compression takes; its level may not be known yet. */
export interface VariantChoice extends Pick<Compression, 'method' | 'variant'> {
  readonly level?: number | undefined;
}

/** The variant that a compression takes. */
export function variantOf(
  { method, level, variant }: VariantChoice,
  isCalibrated: boolean,
): string {
  const { variants, calibratedVariant } = compressionMethods[method];
  return variant ?? (isCalibrated ? calibratedVariant(level) : (variants[0] ?? ''));
}

/**
 * What goes into an embedding or a head is not measured.
 * @throws UserError naming the layer where a compression cannot be had of it.
 */
export function requireFit(
  layer: ModelMatrix | OuterMatrix,
  compression: Compression,
  isCalibrated: boolean,
): void {
  const { method, level, then } = compression;
  const { variants, needsCalibration } = compressionMethods[method];
  const refuse = (problem: Message, remedy: Message): never => {
    throw new UserError(problem, { file: layer.weight.file, field: layer.id, remedy });
  };
  if (layer.form !== undefined) {
    refuse(say`The layer is compressed already.`, say`Compress the model that it was made from.`);
  }
  if (!isLevel(method, level)) {
    refuse(say`${level} is not a valid setting of ${method}.`, say`Give ${levelWords[method]}.`);
  }
  if ('place' in layer && !outerMethods.some((name) => name === method)) {
    refuse(
      say`The ${outerNames[layer.place]} cannot be compressed by ${method}.`,
      say`Use one of ${outerMethods.join(', ')}.`,
    );
  }
  const variant = variantOf(compression, isCalibrated && !('place' in layer));
  if (!variants.includes(variant)) {
    refuse(say`${method} has no variant "${variant}".`, say`Use one of ${variants.join(', ')}.`);
  }
  if (
    method === 'int8' &&
    (level === 0 ? !['rtn', smooth].includes(variant) : variant === smooth)
  ) {
    refuse(
      say`int8:${level} has no variant "${variant}".`,
      level === 0 ? say`Give a block size as well.` : say`Leave the block size out: int8:0.`,
    );
  }
  if (needsCalibration(variant) && 'place' in layer) {
    refuse(
      say`The ${outerNames[layer.place]} is rounded without calibration, which the variant "${variant}" needs.`,
      say`Use one of ${variants.filter((name) => !needsCalibration(name)).join(', ')}.`,
    );
  }
  if (needsCalibration(variant) && !isCalibrated) {
    refuse(
      say`The variant "${variant}" of ${method} needs calibration.`,
      say`Give a calibration text.`,
    );
  }
  if (then !== undefined && method !== 'lowrank') {
    refuse(
      say`What ${method} leaves is not quantized by ${then}.`,
      say`Only the factors of lowrank are: leave "then" out.`,
    );
  }
}
