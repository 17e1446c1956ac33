import type { TensorData } from '../../checkpoints/lazy-tensor';
import type { MatrixEncoding } from '../../models/matrix-encoding';
import type { QuantizerName } from '../compression-choice';
import type { CompressionContext } from '../compression-context';
import type { MatrixProducts } from '../../linear-algebra/matrix-products';
import type { Rows } from '../../linear-algebra/matrix-source';
import type { SquareMatrix } from '../../linear-algebra/small-matrix';
import { roundToNearest } from './group-quantized';
import { quantizeCompensating, factorHessian } from './gptq';
import type { HessianFactor } from './gptq';
import { quantizePerOutput, quantizeSmoothed } from './int8';

/**
 * Rounding of quantization blocks to the nearest value, with scales that span the block (`rtn`) or are searched for the
 * least error (`clip`); or with error feedback to later inputs (`gptq`), the most important inputs first
 * (`gptq-ordered`). Each is symmetric, or asymmetric with a zero point per block.
 */
const roundings = ['clip', 'rtn', 'gptq', 'gptq-ordered'] as const;
const asymmetric = '-asymmetric';

/** Variants of int8 and int4: each rounding, symmetric or asymmetric. */
export const blockVariants: readonly string[] = roundings.flatMap((rounding) => [
  rounding,
  `${rounding}${asymmetric}`,
]);

/** Group size with little loss, at a cost of half a bit per weight. */
export const defaultGroupSize = 32;

/** Group size that saves scales if rows are long enough. */
const longGroupSize = 128;

/** Group sizes for 4-bit integers in rows of this length; the longer one only if it takes fewer bytes. */
export function groupSizesFor({ in: inputs }: { readonly in: number }): number[] {
  const rowBytes = (groupSize: number): number =>
    Math.ceil(inputs / groupSize) * (groupSize / 2 + Float32Array.BYTES_PER_ELEMENT);
  return rowBytes(longGroupSize) < rowBytes(defaultGroupSize)
    ? [defaultGroupSize, longGroupSize]
    : [defaultGroupSize];
}

/** True if blocks have their own zero points. */
export function isAsymmetric(variant: string): boolean {
  return variant.endsWith(asymmetric);
}

/**
 * Int8 variant with a scale per output, smoothed inputs (so that none is much larger than others) and error feedback.
 */
export const smooth = 'smooth';

export function compensates(variant: string): boolean {
  return variant.startsWith('gptq');
}

/**
 * Quantizes to symmetric int8 with a scale per output at setting 0, otherwise to 8-bit blocks.
 * @throws Error if `smooth` has no statistics
 */
export async function compressInt8(
  context: CompressionContext,
  matrix: Rows,
  setting: number,
  variant: string,
): Promise<MatrixEncoding<TensorData>> {
  if (setting !== 0) {
    return quantizeBlocks(context, matrix, 8, setting, variant);
  }
  if (variant !== smooth) {
    return quantizePerOutput(matrix);
  }
  if (context.statistics === undefined) {
    throw new Error(`${variant} needs statistics of the inputs`);
  }
  return quantizeSmoothed(context.products, matrix, context.statistics);
}

/** Quantizes to 4-bit blocks. */
export async function compressInt4(
  context: CompressionContext,
  matrix: Rows,
  setting: number,
  variant: string,
): Promise<MatrixEncoding<TensorData>> {
  return quantizeBlocks(context, matrix, 4, setting, variant);
}

/** Quantizes a factor of another encoding, with the Gram matrix of the factor's inputs if known. */
export async function quantizeFactor(
  context: CompressionContext,
  matrix: Rows,
  quantizer: QuantizerName,
  gram: SquareMatrix | undefined,
): Promise<MatrixEncoding<TensorData>> {
  return quantizer === 'int8'
    ? quantizeBlocks(context, matrix, 8, defaultGroupSize, 'rtn')
    : quantizeBlocks(
        context,
        matrix,
        4,
        defaultGroupSize,
        gram === undefined ? 'clip' : 'gptq',
        gram,
      );
}

async function quantizeBlocks(
  { products, run = 'matmul-nbits', statistics }: CompressionContext,
  matrix: Rows,
  bits: 4 | 8,
  groupSize: number,
  variant: string,
  gram = statistics?.gram,
): Promise<MatrixEncoding<TensorData>> {
  const hasZeros = isAsymmetric(variant);
  const rounding = hasZeros ? variant.slice(0, -asymmetric.length) : variant;
  const grid = { bits, groupSize, isAsymmetric: hasZeros, searches: rounding !== 'rtn' };
  if (!compensates(rounding)) {
    return roundToNearest(matrix, grid, run);
  }
  if (gram === undefined) {
    throw new Error(`${variant} needs statistics of the inputs`);
  }
  const factor = await factorOnce(products, gram, rounding === 'gptq-ordered');
  return quantizeCompensating(products, matrix, grid, factor, run);
}

/** Factors by Gram matrix; layers with shared inputs share the factor. */
const factors = new WeakMap<
  SquareMatrix,
  { readonly orders: boolean; readonly factor: Promise<HessianFactor> }
>();

async function factorOnce(
  products: MatrixProducts,
  gram: SquareMatrix,
  orders: boolean,
): Promise<HessianFactor> {
  const known = factors.get(gram);
  if (known?.orders === orders) {
    return known.factor;
  }
  const factor = factorHessian(products, gram, orders);
  factors.set(gram, { orders, factor });
  return factor;
}
