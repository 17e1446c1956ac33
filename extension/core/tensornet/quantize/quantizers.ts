import type { TensorData } from '../../checkpoints/tensor-data';
import type { MatrixEncoding } from '../../models/matrix-encoding';
import type { QuantizerName } from '../compression-choice';
import type { CompressionContext } from '../compression-context';
import type { MatrixProducts } from '../../linear-algebra/matrix-products';
import type { Rows } from '../../linear-algebra/matrix-source';
import type { SquareMatrix } from '../../linear-algebra/small-matrix';
import { roundToNearest } from './block-quantized';
import { quantizeCompensating } from './gptq';
import { factorHessian } from './hessian';
import type { HessianFactor } from './hessian';
import { quantizePerOutput, quantizeSmoothed } from './int8';

/**
 * How the numbers of blocks are found: scales that span the block (`rtn`) or are searched for the
 * least error (`clip`), each weight becoming the number nearest to it; or with errors made up for by
 * the inputs that follow (`gptq`), those that matter most first (`gptq-ordered`). Each with a zero in
 * the middle or, asymmetric, with one for each block.
 */
const roundings = ['clip', 'rtn', 'gptq', 'gptq-ordered'] as const;
const asymmetric = '-asymmetric';

export const blockVariants: readonly string[] = roundings.flatMap((rounding) => [
  rounding,
  `${rounding}${asymmetric}`,
]);

/** Loses little and costs half a bit per weight. */
export const defaultBlockSize = 32;

/** Saves scales where rows are long enough. */
const longBlockSize = 128;

/** Block sizes for numbers of 4 bits in rows of so many: a longer block is worth it where it takes fewer bytes. */
export function blockSizesFor({ in: inputs }: { readonly in: number }): number[] {
  const rowBytes = (blockSize: number): number =>
    Math.ceil(inputs / blockSize) * (blockSize / 2 + Float32Array.BYTES_PER_ELEMENT);
  return rowBytes(longBlockSize) < rowBytes(defaultBlockSize)
    ? [defaultBlockSize, longBlockSize]
    : [defaultBlockSize];
}

/** Whether blocks have zeros of their own. */
export function isAsymmetric(variant: string): boolean {
  return variant.endsWith(asymmetric);
}

/** int8 by outputs of inputs that are scaled first, so that none is much larger than the others; errors are made up for. */
export const smooth = 'smooth';

export function compensates(variant: string): boolean {
  return variant.startsWith('gptq');
}

/**
 * Symmetric int8 with a scale per output at level 0, else numbers of 8 bits in blocks.
 * @throws Error where `smooth` has no statistics.
 */
export async function compressInt8(
  context: CompressionContext,
  matrix: Rows,
  level: number,
  variant: string,
): Promise<MatrixEncoding<TensorData>> {
  if (level !== 0) {
    return quantizeBlocks(context, matrix, 8, level, variant);
  }
  if (variant !== smooth) {
    return quantizePerOutput(matrix);
  }
  if (context.statistics === undefined) {
    throw new Error(`${variant} needs statistics of the inputs`);
  }
  return quantizeSmoothed(context.products, matrix, context.statistics);
}

/** Numbers of 4 bits in blocks. */
export async function compressInt4(
  context: CompressionContext,
  matrix: Rows,
  level: number,
  variant: string,
): Promise<MatrixEncoding<TensorData>> {
  return quantizeBlocks(context, matrix, 4, level, variant);
}

/** Quantizes a factor of another form, with the Gram matrix of its own inputs where that is known. */
export async function quantizeFactor(
  context: CompressionContext,
  matrix: Rows,
  quantizer: QuantizerName,
  gram: SquareMatrix | undefined,
): Promise<MatrixEncoding<TensorData>> {
  return quantizer === 'int8'
    ? quantizeBlocks(context, matrix, 8, defaultBlockSize, 'rtn')
    : quantizeBlocks(
        context,
        matrix,
        4,
        defaultBlockSize,
        gram === undefined ? 'clip' : 'gptq',
        gram,
      );
}

async function quantizeBlocks(
  { products, run = 'matmul-nbits', statistics }: CompressionContext,
  matrix: Rows,
  bits: 4 | 8,
  blockSize: number,
  variant: string,
  gram = statistics?.gram,
): Promise<MatrixEncoding<TensorData>> {
  const hasZeros = isAsymmetric(variant);
  const rounding = hasZeros ? variant.slice(0, -asymmetric.length) : variant;
  const grid = { bits, blockSize, isAsymmetric: hasZeros, searches: rounding !== 'rtn' };
  if (!compensates(rounding)) {
    return roundToNearest(matrix, grid, run);
  }
  if (gram === undefined) {
    throw new Error(`${variant} needs statistics of the inputs`);
  }
  const factor = await factorOnce(products, gram, rounding === 'gptq-ordered');
  return quantizeCompensating(products, matrix, grid, factor, run);
}

/** Layers that share their inputs share the factor; one is kept for each Gram matrix. */
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
