import type { MatrixProducts } from '../../linear-algebra/matrix-products';
import { choleskyBlocked } from '../../linear-algebra/blocked-cholesky';
import type { SquareMatrix } from '../../linear-algebra/small-matrix';
import { transpose } from '../tensor-values';

/** Share of the mean of the diagonal that is added to it (GPTQ, arXiv 2210.17323, § 3.3, step 3). */
const dampingShare = 0.01;

/** What rounding needs of L, where L·Lᵀ is the damped Gram matrix of the inputs in an order. */
export interface HessianFactor {
  /** Input that row i of L belongs to. */
  readonly order: Uint32Array;
  /** L_jj: what an error of input j costs once those before it have made up for it. */
  readonly diagonal: Float64Array;
  /** L_kj / L_jj for k > j: what an error of input k moves input j by, [j, k]. */
  readonly moves: Float32Array;
}

/**
 * The factor by which errors of weights are weighed and passed on. Never fails: where nothing was
 * seen it is the identity, and the damping grows until the matrix is positive definite.
 * @param orders whether inputs that matter most come last, which is quantized first
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
      return { order, ...movesOf(lower) };
    }
  }
}

function movesOf({ size, numbers }: SquareMatrix): Omit<HessianFactor, 'order'> {
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
