import type { TensorData } from '../../checkpoints/tensor-data';
import type { BlockQuantizedForm } from '../../models/matrix-encoding';
import type { MatrixProducts } from '../../linear-algebra/matrix-products';
import type { Rows } from '../../linear-algebra/matrix-source';
import { transpose } from '../tensor-values';
import { fitScale, quantize } from './block-grid';
import type { BlockGrid } from './block-grid';
import { BlockWriter } from './block-quantized';
import type { SquareMatrix } from '../../linear-algebra/small-matrix';
import type { HessianFactor } from './hessian';

/** How far apart neighbours of a row and of a column lie. */
interface Steps {
  readonly row: number;
  readonly column: number;
}

/** Inputs that are quantized between two products with what came before, where scales are fixed. */
export const inputsPerStep = 32;

/** Columns whose errors are passed on in one loop. */
const passedOn = 4;

/** How the weights of an input are rounded. */
export interface Rounding {
  /** Inputs that are rounded between two products with what came before. */
  readonly step: number;
  /** Sees what the inputs from `start` on are to be rounded at, [step, out], before they are. */
  readonly begin?: (start: number, targets: Float32Array) => void;
  /** Stores the numbers nearest to the targets of an input, and what the weights then differ by. */
  readonly round: (
    input: number,
    targets: Float32Array,
    weights: Float32Array,
    errors: Float32Array,
  ) => void;
}

/**
 * Rounds input after input so that errors are made up for by those that follow: the least
 * ‖(W − W′)·L‖ with L·Lᵀ = H is sought one column at a time, from the last one to the first, as in
 * GPTQ (arXiv 2210.17323, algorithm 1), of which this is the form without an inverse (Babai's nearest
 * plane; Chen et al. 2025, arXiv 2507.18553). Column k is rounded at
 * w_k + Σ_{i>k} (w_i − w′_i)·L_ik / L_kk.
 */
export async function roundCompensating(
  products: MatrixProducts,
  matrix: Rows,
  { order, lower }: HessianFactor,
  { step, begin, round }: Rounding,
): Promise<void> {
  const { count: out, length: inputs } = matrix;
  /** [in, out] in the order of L. */
  const weights = inOrder({ count: inputs, length: out, numbers: transpose(matrix) }, order);
  const errors = new Float32Array(inputs * out);
  const column = (numbers: Float32Array, k: number): Float32Array =>
    numbers.subarray(k * out, (k + 1) * out);
  for (let end = inputs, start; end > 0; end = start) {
    start = Math.floor((end - 1) / step) * step;
    const targets = await targetsOf(
      products,
      weights,
      errors,
      lower.numbers,
      inputs,
      out,
      start,
      end,
    );
    begin?.(start, targets);
    for (let last = end, first; last > start; last = first) {
      first = Math.max(start, last - passedOn);
      for (let k = last - 1; k >= first; k--) {
        const target = column(targets, k - start);
        round(order[k] ?? 0, target, column(weights, k), column(errors, k));
        for (let j = first; j < k; j++) {
          addScaled(column(targets, j - start), factorOf(lower, k, j), column(errors, k));
        }
      }
      for (let j = start; j < first; j++) {
        passOn(column(targets, j - start), lower, j, errors, first, last);
      }
    }
  }
}

/**
 * Numbers in blocks, rounded by {@link roundCompensating}. In the order of the matrix a block's scale is
 * fitted when its turn comes; in another order, in which blocks take turns, all are fitted beforehand.
 */
export async function quantizeCompensating(
  products: MatrixProducts,
  matrix: Rows,
  grid: BlockGrid,
  factor: HessianFactor,
  run: BlockQuantizedForm['run'],
): Promise<BlockQuantizedForm<TensorData>> {
  const { order, lower } = factor;
  const { count: out, length: inputs } = matrix;
  const { blockSize } = grid;
  const writer = new BlockWriter(grid, out, inputs);
  const isOrdered = order.some((input, i) => input !== i);
  // What the error of an input costs once those behind it have made up for it.
  const importance = new Float64Array(inputs);
  order.forEach((input, i) => {
    importance[input] = (lower.numbers[i * inputs + i] ?? 0) ** 2;
  });
  const scales = new Float32Array(writer.blocks * out);
  const zeros = new Uint8Array(writer.blocks * out);
  const fit = (block: number, from: Float32Array, start: number, steps: Steps): void => {
    const size = Math.min(blockSize, inputs - block * blockSize);
    const weighing = importance.subarray(block * blockSize, block * blockSize + size);
    for (let row = 0; row < out; row++) {
      const first = start + row * steps.row;
      const { scale, zero } = fitScale(grid, from, first, size, steps.column, weighing);
      scales[block * out + row] = scale;
      zeros[block * out + row] = zero;
      writer.setScale(row, block, { scale, zero });
    }
  };
  if (isOrdered) {
    for (let block = 0; block < writer.blocks; block++) {
      fit(block, matrix.numbers, block * blockSize, { row: inputs, column: 1 });
    }
  }
  await roundCompensating(products, matrix, factor, {
    step: isOrdered ? inputsPerStep : blockSize,
    begin: (start, targets) => {
      if (!isOrdered) {
        fit(start / blockSize, targets, 0, { row: 1, column: out });
      }
    },
    round: (input, targets, weights, errors) => {
      const first = Math.floor(input / blockSize) * out;
      for (let row = 0; row < out; row++) {
        const scale = scales[first + row] ?? 0;
        const zero = zeros[first + row] ?? 0;
        const q = quantize(grid.bits, targets[row] ?? 0, scale, zero);
        writer.setNumber(row, input, q);
        errors[row] = (weights[row] ?? 0) - (q - zero) * scale;
      }
    },
  });
  return writer.form(run);
}

/** Where columns `start` to `end` are to be rounded, as far as the columns from `end` on tell: [end − start, out]. */
async function targetsOf(
  products: MatrixProducts,
  weights: Float32Array,
  errors: Float32Array,
  lower: Float64Array,
  inputs: number,
  out: number,
  start: number,
  end: number,
): Promise<Float32Array> {
  const targets = weights.slice(start * out, end * out);
  const count = inputs - end;
  if (count === 0) {
    return targets;
  }
  const factors = new Float32Array((end - start) * count);
  for (let k = start; k < end; k++) {
    const diagonal = lower[k * inputs + k] ?? 1;
    for (let i = 0; i < count; i++) {
      factors[(k - start) * count + i] = (lower[(end + i) * inputs + k] ?? 0) / diagonal;
    }
  }
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

/** What an error of column k moves column j by. */
function factorOf({ size, numbers }: SquareMatrix, k: number, j: number): number {
  return (numbers[k * size + j] ?? 0) / (numbers[j * size + j] ?? 1);
}

/** Moves column j by the errors of the columns from `first` to `last`: four at once where there are. */
function passOn(
  target: Float32Array,
  lower: SquareMatrix,
  j: number,
  errors: Float32Array,
  first: number,
  last: number,
): void {
  const out = target.length;
  const error = (k: number): Float32Array => errors.subarray(k * out, (k + 1) * out);
  if (last - first !== passedOn) {
    for (let k = first; k < last; k++) {
      addScaled(target, factorOf(lower, k, j), error(k));
    }
    return;
  }
  const [f0, f1] = [factorOf(lower, first, j), factorOf(lower, first + 1, j)];
  const [f2, f3] = [factorOf(lower, first + 2, j), factorOf(lower, first + 3, j)];
  const [e0, e1, e2, e3] = [error(first), error(first + 1), error(first + 2), error(first + 3)];
  for (let row = 0; row < out; row++) {
    target[row] =
      (target[row] ?? 0) +
      f0 * (e0[row] ?? 0) +
      f1 * (e1[row] ?? 0) +
      f2 * (e2[row] ?? 0) +
      f3 * (e3[row] ?? 0);
  }
}

function addScaled(target: Float32Array, factor: number, error: Float32Array): void {
  for (let row = 0; row < target.length; row++) {
    target[row] = (target[row] ?? 0) + factor * (error[row] ?? 0);
  }
}

function inOrder({ count, length, numbers }: Rows, order: Uint32Array): Float32Array {
  const result = new Float32Array(count * length);
  order.forEach((from, to) => {
    result.set(numbers.subarray(from * length, (from + 1) * length), to * length);
  });
  return result;
}
