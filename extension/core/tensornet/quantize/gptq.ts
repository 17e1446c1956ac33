import type { TensorData } from '../../checkpoints/lazy-tensor';
import type { GroupQuantizedEncoding } from '../../models/matrix-encoding';
import { roundStep } from '../../linear-algebra/kernels';
import type { MatrixProducts } from '../../linear-algebra/matrix-products';
import type { Rows } from '../../linear-algebra/matrix-source';
import { transpose } from '../tensor-values';
import { BlockScales, blockForm } from './group-quantized';
import type { BlockGrid } from './group-quantized';
import { choleskyBlocked } from '../../linear-algebra/blocked-cholesky';
import type { SquareMatrix } from '../../linear-algebra/small-matrix';

/** Inputs quantized between two matmuls with earlier errors, if scales are fixed. */
export const inputsPerStep = 32;

/** Rounding of the weights of inputs. */
export interface Rounding {
  /** Inputs quantized between two matmuls with earlier errors. */
  readonly step: number;
  /** Smallest and largest integer. */
  readonly range: readonly [number, number];
  /**
   * Returns scales and zero points of the inputs from `start` to `end` in rounding order, to be rounded at `targets`
   * [end − start, out]: [out] each, or [end − start, out].
   */
  readonly scalesOf: (
    start: number,
    end: number,
    targets: Float32Array,
  ) => { readonly scales: Float32Array; readonly zeros: Float32Array };
}

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

/**
 * Rounds one input after another, so that later ones compensate the errors: minimizes ‖(W − W′)·L‖ with L·Lᵀ = H one
 * column at a time, from the last to the first. This is GPTQ (arXiv 2210.17323, algorithm 1) without an inverse
 * (Babai's nearest plane; Chen et al. 2025, arXiv 2507.18553). Column k is rounded at w_k + Σ_{i>k} (w_i − w′_i)·L_ik /
 * L_kk.
 * @returns the integers, as bytes [in, out]
 */
export async function roundCompensating(
  products: MatrixProducts,
  matrix: Rows,
  factor: HessianFactor,
  { step, range, scalesOf }: Rounding,
): Promise<Uint8Array> {
  const { order } = factor;
  const { count: out, length: inputs } = matrix;
  /** [in, out] in the order of L. */
  const weights = reorderRows({ count: inputs, length: out, numbers: transpose(matrix) }, order);
  const errors = new Float32Array(inputs * out);
  const numbers = new Uint8Array(inputs * out);
  const found = new Uint8Array(step * out);
  for (let end = inputs, start; end > 0; end = start) {
    start = Math.floor((end - 1) / step) * step;
    const targets = await roundingTargets(products, weights, errors, factor, out, start, end);
    roundStep({
      ...{ step: end - start, rows: out, targets },
      weights: weights.subarray(start * out, end * out),
      factors: errorFactors(factor, [start, end], [start, end]),
      ...scalesOf(start, end, targets),
      range,
      errors: errors.subarray(start * out, end * out),
      numbers: found,
    });
    for (let k = start; k < end; k++) {
      const at = (k - start) * out;
      numbers.set(found.subarray(at, at + out), (order[k] ?? 0) * out);
    }
  }
  return numbers;
}

/**
 * Quantizes to blocks with {@link roundCompensating}. In matrix order, a block's scale is fitted when its first input
 * is reached; in another order, which alternates between blocks, all scales are fitted beforehand.
 */
export async function quantizeCompensating(
  products: MatrixProducts,
  matrix: Rows,
  grid: BlockGrid,
  factor: HessianFactor,
  run: GroupQuantizedEncoding['run'],
): Promise<GroupQuantizedEncoding<TensorData>> {
  const { order, diagonal } = factor;
  const { count: out, length: inputs } = matrix;
  const { groupSize } = grid;
  const blocks = new BlockScales(grid, out, inputs);
  const isOrdered = order.some((input, i) => input !== i);
  // Cost of an input's error after compensation by later inputs.
  const importance = new Float64Array(inputs);
  order.forEach((input, i) => {
    importance[input] = (diagonal[i] ?? 0) ** 2;
  });
  if (isOrdered) {
    const weights = transpose(matrix);
    for (let block = 0; block < blocks.blocks; block++) {
      const [first, end] = blocks.inputsOf(block);
      blocks.fit(block, weights.subarray(first * out, end * out), importance);
    }
  }
  const numbers = await roundCompensating(products, matrix, factor, {
    step: isOrdered ? inputsPerStep : groupSize,
    range: blocks.range,
    scalesOf: (start, end, targets) => {
      if (!isOrdered) {
        const block = start / groupSize;
        blocks.fit(block, targets, importance);
        return blocks.of(block);
      }
      const scales = new Float32Array((end - start) * out);
      const zeros = new Float32Array((end - start) * out);
      order.subarray(start, end).forEach((input, i) => {
        const own = blocks.of(Math.floor(input / groupSize));
        scales.set(own.scales, i * out);
        zeros.set(own.zeros, i * out);
      });
      return { scales, zeros };
    },
  });
  return blockForm(blocks, numbers, run);
}

/**
 * Values at which columns `start` to `end` are to be rounded, given the errors of columns from `end`: [end − start,
 * out].
 */
export async function roundingTargets(
  products: MatrixProducts,
  weights: Float32Array,
  errors: Float32Array,
  factor: HessianFactor,
  out: number,
  start: number,
  end: number,
): Promise<Float32Array> {
  const targets = weights.slice(start * out, end * out);
  const inputs = factor.diagonal.length;
  const count = inputs - end;
  if (count === 0) {
    return targets;
  }
  const factors = errorFactors(factor, [start, end], [end, inputs]);
  const rows = { count, length: out, numbers: errors.subarray(end * out) };
  const { numbers } = await products.applyTransposed(
    { kind: 'numbers', name: 'errors', rows },
    { count: end - start, length: count, numbers: factors },
  );
  for (let i = 0; i < targets.length; i++) {
    targets[i] = (targets[i] ?? 0) + (numbers[i] ?? 0);
  }
  return targets;
}

type Range = readonly [from: number, to: number];

/** Factors by which errors of the columns `later` change the targets of the columns `own`: [own, later]. */
export function errorFactors(
  { diagonal, moves }: HessianFactor,
  own: Range,
  later: Range,
): Float32Array {
  const [size, count] = [diagonal.length, later[1] - later[0]];
  const factors = new Float32Array((own[1] - own[0]) * count);
  for (let j = own[0]; j < own[1]; j++) {
    const from = j * size;
    factors.set(moves.subarray(from + later[0], from + later[1]), (j - own[0]) * count);
  }
  return factors;
}

export function reorderRows({ count, length, numbers }: Rows, order: Uint32Array): Float32Array {
  const result = new Float32Array(count * length);
  order.forEach((from, to) => {
    result.set(numbers.subarray(from * length, (from + 1) * length), to * length);
  });
  return result;
}
