import type { MatrixProducts } from '../../linear-algebra/matrix-products';
import { choleskyBlocked } from '../../linear-algebra/blocked-cholesky';
import type { SquareMatrix } from '../../linear-algebra/small-matrix';
import { transpose } from '../tensor-values';

/** Share of the diagonal's mean that is added to it (GPTQ, arXiv 2210.17323, § 3.3, step 3). */
const dampingShare = 0.01;

/** Parts of L needed for rounding, where L·Lᵀ is the damped Gram matrix of the inputs in an order. */
export interface HessianFactor {
  /** Input of row i of L. */
  readonly order: Uint32Array;
  /** L_jj: cost of an error of input j after compensation by earlier inputs. */
  readonly diagonal: Float64Array;
  /** L_kj / L_jj for k > j: change of input j per error of input k, [j, k]. */
  readonly moves: Float32Array;
}

/**
 * Factorizes the Hessian for error-feedback rounding. Never fails: without data it is the identity, and the damping
 * grows until the matrix is positive definite.
 * @param orders true to put the most important inputs last, which are quantized first
 */
export async function factorHessian(
  products: MatrixProducts,
  gram: SquareMatrix,
  orders: boolean,
): Promise<HessianFactor> {
  const { size, numbers } = gram;
  const diagonal = Float64Array.from({ length: size }, (_, i) => numbers[i * size + i] ?? 0);
  const mean = diagonal.reduce((sum, value) => sum + value, 0) / size;
  const order = Uint32Array.from({ length: size }, (_, i) => i);
  if (orders) {
    order.sort((a, b) => (diagonal[a] ?? 0) - (diagonal[b] ?? 0) || a - b);
  }
  for (let share = dampingShare; ; share *= 10) {
    const damped = new Float64Array(size * size);
    for (let i = 0; i < size; i++) {
      const from = (order[i] ?? 0) * size;
      for (let j = 0; j <= i; j++) {
        damped[i * size + j] = numbers[from + (order[j] ?? 0)] ?? 0;
      }
      damped[i * size + i] = (damped[i * size + i] ?? 0) + (mean > 0 ? share * mean : 1);
    }
    const lower = await choleskyBlocked(products, { size, numbers: damped });
    if (lower !== undefined) {
      return { order, ...feedbackFactors(lower) };
    }
  }
}

function feedbackFactors({ size, numbers }: SquareMatrix): Omit<HessianFactor, 'order'> {
  const diagonal = Float64Array.from({ length: size }, (_, i) => numbers[i * (size + 1)] ?? 0);
  const inverses = diagonal.map((x) => 1 / x);
  const moves = new Float32Array(size * size);
  for (let k = 0; k < size; k++) {
    for (let j = 0, at = k * size; j <= k; j++, at++) {
      moves[at] = (numbers[at] ?? 0) * (inverses[j] ?? 0);
    }
  }
  return { diagonal, moves: transpose({ count: size, length: size, numbers: moves }) };
}
