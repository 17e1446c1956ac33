import fc from 'fast-check';
import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import { afterAll, describe, expect, it } from 'vitest';
import { seededRandom, standardNormal } from '../../../extension/core/data/random';
import {
  choleskyBlocked,
  invertLowerBlocked,
} from '../../../extension/core/linear-algebra/blocked-cholesky';
import { MatrixProducts } from '../../../extension/core/linear-algebra/matrix-products';
import { cholesky, invertLower } from '../../../extension/core/linear-algebra/small-matrix';
import type { SquareMatrix } from '../../../extension/core/linear-algebra/small-matrix';
import { leadingEigen } from '../../../extension/core/tensornet/leading-eigen';
import { symmetricEigen } from '../../../extension/core/linear-algebra/symmetric-eigen';
import type { Eigen } from '../../../extension/core/linear-algebra/symmetric-eigen';

const products = new MatrixProducts('cpu', 0);
afterAll(async () => products.dispose());

/** Σ of outer products of `rank` random vectors: eigenvalues of 0 where there are fewer than rows. */
function makeGram(size: number, rank: number, seed: number): SquareMatrix {
  const random = seededRandom(seed);
  const factor = new Matrix(size, rank);
  factor.apply((row, column) => factor.set(row, column, standardNormal(random)));
  return { size, numbers: Float64Array.from(factor.mmul(factor.transpose()).to1DArray()) };
}

/** Largest |A·v − λ·v| and |vᵢ·vⱼ − δᵢⱼ|, relative to the largest entry of A. */
function faults(
  matrix: SquareMatrix,
  { values, vectors }: Eigen = symmetricEigen(matrix),
): { residual: number; skew: number } {
  const { size, numbers } = matrix;
  const count = vectors.length / size;
  const a = Matrix.from1DArray(size, size, numbers);
  const v = Matrix.from1DArray(count, size, vectors);
  const residual = Matrix.sub(v.mmul(a), Matrix.diag([...values.subarray(0, count)]).mmul(v));
  const skew = Matrix.sub(v.mmul(v.transpose()), Matrix.eye(count));
  expect([...values]).toEqual([...values].sort((x, y) => y - x));
  const largest = Math.max(...numbers.map(Math.abs), Number.MIN_VALUE);
  const most = (of: Matrix): number => Math.max(...of.to1DArray().map(Math.abs));
  return { residual: most(residual) / largest, skew: most(skew) };
}

describe('eigenvalues of a symmetric matrix', () => {
  it('of any size and rank fulfil their equation, their vectors orthonormal', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: 40 }),
        fc.nat(1000),
        (size, rank, seed) => {
          const { residual, skew } = faults(makeGram(size, rank, seed));
          expect(residual).toBeLessThan(1e-13 * size);
          expect(skew).toBeLessThan(1e-13 * size);
        },
      ),
    );
  });

  it('of few directions are found among rounding errors', async () => {
    for (let seed = 0; seed < 60; seed++) {
      const random = seededRandom(seed);
      const [count, length] = [60, 90];
      const numbers = new Float32Array(count * length);
      for (let rank = 3; rank > 0; rank--) {
        const [left, right] = [count, length].map((size) =>
          Float64Array.from({ length: size }, () => random() - 0.5),
        );
        for (let i = 0; i < numbers.length; i++) {
          const along = (left?.[Math.floor(i / length)] ?? 0) * (right?.[i % length] ?? 0);
          numbers[i] = (numbers[i] ?? 0) + rank * along;
        }
      }
      const { residual, skew } = faults(await products.gram({ count, length, numbers }));
      expect(residual).toBeLessThan(1e-13 * count);
      expect(skew).toBeLessThan(1e-13 * count);
    }
  });

  it('equal ml-matrix', () => {
    const matrix = makeGram(90, 95, 3);
    const expected = new EigenvalueDecomposition(Matrix.from1DArray(90, 90, matrix.numbers), {
      assumeSymmetric: true,
    }).realEigenvalues.sort((a, b) => b - a);
    symmetricEigen(matrix).values.forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i] ?? Number.NaN, 9);
    });
  });

  it.each([
    ['zeros', 6, () => 0],
    ['the identity', 7, (i: number, j: number) => (i === j ? 1 : 0)],
    ['ones', 8, () => 1],
    [
      'a diagonal that falls to nothing',
      12,
      (i: number, j: number) => (i === j ? 1e-30 ** (i / 5) : 0),
    ],
    ['two clusters', 20, (i: number, j: number) => (i === j ? 1 + (i % 2) : 1e-14)],
    [
      'a tridiagonal one',
      25,
      (i: number, j: number) => (Math.abs(i - j) === 1 ? -1 : i === j ? 2 : 0),
    ],
    ['numbers as small as can be', 5, (i: number, j: number) => (i + j) * 1e-300],
  ])('of %s are found', (_, size, at) => {
    const numbers = Float64Array.from({ length: size * size }, (__, i) =>
      at(Math.floor(i / size), i % size),
    );
    const { residual, skew } = faults({ size, numbers });
    expect(residual).toBeLessThan(1e-12);
    expect(skew).toBeLessThan(1e-12);
  });

  it('read the lower triangle alone', () => {
    const whole = makeGram(9, 9, 1);
    const numbers = whole.numbers.map((x, i) => (i % 9 > Math.floor(i / 9) ? Number.NaN : x));
    expect(symmetricEigen({ size: 9, numbers })).toEqual(symmetricEigen(whole));
  });

  it('of NaN are refused', () => {
    const numbers = new Float64Array(16).fill(Number.NaN);
    expect(() => symmetricEigen({ size: 4, numbers })).toThrow('eigenvalues');
  });
});

describe('leading eigenvalues of a symmetric matrix', () => {
  it.each([
    [5, 3],
    [97, 97],
    [150, 20],
    [203, 120],
  ])('of %i rows, %i of them, equal those of the full decomposition', async (size, count) => {
    const matrix = makeGram(size, size + 5, 2);
    const found = await leadingEigen(products, matrix, count);
    expect(found.vectors).toHaveLength(count * size);
    const { residual, skew } = faults(matrix, found);
    expect(residual).toBeLessThan(1e-13 * size);
    expect(skew).toBeLessThan(1e-12);
    symmetricEigen(matrix).values.forEach((value, i) => {
      expect(Math.abs((found.values[i] ?? Number.NaN) - value)).toBeLessThan(1e-12 * size * size);
    });
  });

  it.each([
    ['zeros', () => 0],
    ['the identity', (i: number, j: number) => (i === j ? 1 : 0)],
    ['ones', () => 1],
    [
      'a diagonal that falls to nothing',
      (i: number, j: number) => (i === j ? 1e-30 ** (i / 60) : 0),
    ],
    ['two clusters', (i: number, j: number) => (i === j ? 1 + (i % 2) : 1e-14)],
    ['a tridiagonal one', (i: number, j: number) => (Math.abs(i - j) === 1 ? -1 : i === j ? 2 : 0)],
    [
      'pairs that are equal to rounding',
      (i: number, j: number) => (i === j ? Math.abs(i - 60) : Math.abs(i - j) === 1 ? 1 : 0),
    ],
    ['numbers as small as can be', (i: number, j: number) => (i + j) * 1e-300],
  ])('of %s are found', async (_, at) => {
    const size = 121;
    const numbers = Float64Array.from({ length: size * size }, (__, i) =>
      at(Math.floor(i / size), i % size),
    );
    const matrix = { size, numbers };
    for (const count of [40, size]) {
      const { residual, skew } = faults(matrix, await leadingEigen(products, matrix, count));
      expect(residual).toBeLessThan(1e-10);
      expect(skew).toBeLessThan(1e-12);
    }
  });
});

describe('Cholesky factors in blocks', () => {
  it.each([5, 256, 257, 400])(
    'of %i rows equal a single step, and their inverses too',
    async (size) => {
      const matrix = makeGram(size, size + 20, 4);
      const expected = cholesky(matrix);
      const numbers = Float64Array.from(matrix.numbers);
      // Only the lower triangle counts.
      for (let row = 0; row < size; row++) {
        numbers.fill(Number.POSITIVE_INFINITY, row * size + row + 1, (row + 1) * size);
      }
      const found = await choleskyBlocked(products, { size, numbers });
      const isNear = (a?: SquareMatrix, b?: SquareMatrix): boolean | undefined =>
        a?.numbers.every((x, i) => Math.abs(x - (b?.numbers[i] ?? Number.NaN)) < 1e-9);
      expect(isNear(found, expected)).toBe(true);
      if (expected !== undefined) {
        expect(isNear(await invertLowerBlocked(products, expected), invertLower(expected))).toBe(
          true,
        );
      }
    },
  );

  it("doesn't exist for an indefinite matrix, for any position of the negative pivot", async () => {
    for (const at of [0, 100, 300]) {
      const matrix = makeGram(320, 340, 5);
      matrix.numbers[at * 320 + at] = -1;
      expect(await choleskyBlocked(products, matrix)).toBeUndefined();
    }
  });
});
