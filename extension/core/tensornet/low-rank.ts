import type { TensorData } from '../checkpoints/lazy-tensor';
import type { LinearLayer, LowRankEncoding, MatrixEncoding } from '../models/matrix-encoding';
import type { QuantizerName } from './compression-choice';
import type { CompressionContext, MatrixWork } from './compression-context';
import { covarianceWeights, scaledWeights } from './statistics/statistics-accumulator';
import type { Rows } from '../linear-algebra/matrix-source';
import { quantizeFactor } from './quantize/quantizers';
import { firstRows, randomizedSvd } from './randomized-svd';
import type { InputWeights, LowRank } from './randomized-svd';
import { reconstruct } from './reconstruct';
import { floatData, transpose } from './tensor-values';

/**
 * Error that is minimized: of the weights (`plain`), of the weights scaled by mean |x|^½ (`scaled`; ASVD,
 * arXiv 2312.05821), or of the outputs (`covariance`): W′ = U·Uᵀ·W with U the top eigenvectors of the outputs'
 * covariance W·G·Wᵀ (like SVD-LLM, arXiv 2403.07378, which computes a root and an inverse of G instead).
 */
export const lowRankVariants = ['plain', 'scaled', 'covariance'] as const;

/** Largest rank whose factors have at most `ratio` of the matrix's elements; at least 1. */
export function rankForRatio(
  { out, in: inputs }: Pick<LinearLayer, 'out' | 'in'>,
  ratio: number,
): number {
  const rank = Math.floor((ratio * out * inputs) / (out + inputs));
  return Math.min(Math.max(1, rank), out, inputs);
}

/** Leading directions of a matrix for a variant; those of a lower rank are a prefix. */
export async function decompose(
  { context, name, matrix }: MatrixWork,
  rank: number,
  variant: string,
): Promise<LowRank> {
  const { products, statistics, seed = 0 } = context;
  const source = { kind: 'numbers', name, rows: matrix } as const;
  const weights = variantWeights(variant, statistics);
  return randomizedSvd(products, source, {
    rank,
    seed,
    ...(weights === undefined ? {} : { weights }),
  });
}

function variantWeights(
  variant: string,
  statistics: CompressionContext['statistics'],
): InputWeights | undefined {
  if (variant === 'plain') {
    return undefined;
  }
  if (statistics === undefined) {
    throw new Error(`${variant} needs statistics of the inputs`);
  }
  return variant === 'scaled' ? scaledWeights(statistics) : covarianceWeights(statistics);
}

/** First `rank` directions as factors, quantized if requested. */
export async function lowRankForm(
  context: CompressionContext,
  found: LowRank,
  rank: number,
  then: QuantizerName | undefined,
): Promise<LowRankEncoding<TensorData>> {
  const count = Math.min(rank, found.left.count);
  const rightRows = firstRows(found.right, count);
  const leftRows = firstRows(found.left, count);
  const left = { count: leftRows.length, length: count, numbers: transpose(leftRows) };
  if (then === undefined) {
    const dense = (rows: Rows): MatrixEncoding<TensorData> => ({
      kind: 'dense',
      weight: floatData([rows.count, rows.length], rows.numbers, context.dtype ?? 'F32'),
    });
    return { kind: 'low-rank', rank: count, left: dense(left), right: dense(rightRows) };
  }
  const { products, statistics } = context;
  const right = await quantizeFactor(context, rightRows, then, statistics?.gram);
  // The input of the left factor is the output of the quantized right factor.
  const gram =
    statistics === undefined
      ? undefined
      : await middleGram(context, await reconstruct(products, right), statistics);
  return {
    kind: 'low-rank',
    rank: count,
    left: await quantizeFactor(context, left, then, gram),
    right,
  };
}

/** Gram matrix R·G·Rᵀ of the output of a right factor R. */
async function middleGram(
  { products }: CompressionContext,
  right: Rows,
  { gram }: NonNullable<CompressionContext['statistics']>,
): Promise<{ size: number; numbers: Float64Array }> {
  const weighed = await products.weigh(right, gram);
  return { size: right.count, numbers: await products.inner(right, weighed) };
}
