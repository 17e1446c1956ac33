import fc from 'fast-check';
import { Matrix, QrDecomposition, SingularValueDecomposition } from 'ml-matrix';
import { afterAll, describe, expect, it } from 'vitest';
import { seededRandom, standardNormal } from '../../../extension/core/data/random';
import { openModel } from '../../../extension/core/models/open-model';
import { MatrixProducts } from '../../../extension/core/linear-algebra/matrix-products';
import type { MatrixSource } from '../../../extension/core/linear-algebra/matrix-source';
import { randomizedSvd } from '../../../extension/core/tensornet/randomized-svd';
import type { LowRank } from '../../../extension/core/tensornet/randomized-svd';
import {
  cholesky,
  invertLower,
  shiftDiagonal,
} from '../../../extension/core/linear-algebra/small-matrix';
import { symmetricEigen } from '../../../extension/core/linear-algebra/symmetric-eigen';
import { fixture } from '../fixtures';
import { randomRuns } from '../sample';

const products = new MatrixProducts('cpu', 0);
afterAll(async () => products.dispose());

let made = 0;
function memorySource(matrix: Matrix): MatrixSource {
  const numbers = Float32Array.from(matrix.to1DArray());
  made++;
  const rows = { count: matrix.rows, length: matrix.columns, numbers };
  return { kind: 'numbers', name: `matrix ${made}`, rows };
}

/** Random orthogonal factors around the spectrum given. */
function withSpectrum(rows: number, columns: number, spectrum: number[], seed: number): Matrix {
  const random = seededRandom(seed);
  const factor = (count: number): Matrix => {
    const noise = new Matrix(count, spectrum.length);
    noise.apply((row, column) => noise.set(row, column, standardNormal(random)));
    return new QrDecomposition(noise).orthogonalMatrix;
  };
  return factor(rows).mmul(Matrix.diag(spectrum)).mmul(factor(columns).transpose());
}

function multiply({ left, right }: LowRank): Matrix {
  const matrix = (part: LowRank['left']): Matrix =>
    Matrix.from1DArray(part.count, part.length, part.numbers);
  return matrix(left).transpose().mmul(matrix(right));
}

/** Least error of any matrix of that rank (Eckart and Young). */
function leastError(matrix: Matrix, rank: number): number {
  const { diagonal } = new SingularValueDecomposition(matrix, { autoTranspose: true });
  return Math.hypot(...diagonal.slice(rank));
}

describe('randomized SVD', () => {
  it.each([
    ['falls slowly', (i: number) => 1 / Math.sqrt(i + 1)],
    ['hardly falls', (i: number) => 1 - i / 400],
    ['falls fast', (i: number) => 0.8 ** i],
  ])('is within 0.3 %% of the optimal error if the spectrum %s', async (_, at) => {
    const spectrum = Array.from({ length: 160 }, (_, i) => at(i));
    const matrix = withSpectrum(200, 160, spectrum, 1);
    for (const rank of [8, 40]) {
      const found = await randomizedSvd(products, memorySource(matrix), { rank, seed: 2 });
      const least = Math.hypot(...spectrum.slice(rank));
      const error = Matrix.sub(matrix, multiply(found)).norm('frobenius');
      expect(error / least).toBeLessThan(1.003 + 1e-5 / least);
      expect(Math.abs(found.error - error) / found.norm).toBeLessThan(1e-3);
      found.singularValues.forEach((value, i) => {
        expect(Math.abs(value / (spectrum[i] ?? 1) - 1)).toBeLessThan(0.03);
      });
    }
  });

  it.each([
    ['falls slowly', (i: number) => 1 / Math.sqrt(i + 1)],
    ['falls to nothing', (i: number) => 0.5 ** i],
  ])('of few columns is exact and orthonormal if the spectrum %s', async (_, at) => {
    const spectrum = Array.from({ length: 24 }, (_, i) => at(i));
    const matrix = withSpectrum(300, 24, spectrum, 5);
    for (const rank of [4, 24]) {
      const found = await randomizedSvd(products, memorySource(matrix), { rank, seed: 2 });
      const error = Matrix.sub(matrix, multiply(found)).norm('frobenius');
      expect(error).toBeLessThan(Math.hypot(...spectrum.slice(rank)) + 1e-5);
      expect(found.error).toBeCloseTo(error, 3);
      const left = Matrix.from1DArray(rank, 300, found.left.numbers);
      const skew = Matrix.sub(left.mmul(left.transpose()), Matrix.eye(rank));
      expect(skew.norm('frobenius')).toBeLessThan(1e-5);
    }
  });

  it('of small matrices of any shape equals float64', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 24 }),
        fc.nat(1000),
        async (rows, columns, rank, seed) => {
          const random = seededRandom(seed);
          const matrix = new Matrix(rows, columns);
          matrix.apply((row, column) => matrix.set(row, column, standardNormal(random)));
          const found = await randomizedSvd(products, memorySource(matrix), { rank, seed });
          expect(found.left.count).toBe(Math.min(rank, rows, columns));
          const error = Matrix.sub(matrix, multiply(found)).norm('frobenius');
          expect(Math.abs(error - leastError(matrix, rank))).toBeLessThan(1e-4 * found.norm);
        },
      ),
      { numRuns: randomRuns(100, 25) },
    );
  });

  it('of rank-deficient and zero matrices is exact', async () => {
    const low = withSpectrum(60, 90, [3, 2, 1], 5);
    const found = await randomizedSvd(products, memorySource(low), { rank: 10, seed: 0 });
    expect(Matrix.sub(low, multiply(found)).norm('frobenius')).toBeLessThan(1e-4);
    const ones = Matrix.ones(50, 50);
    const one = await randomizedSvd(products, memorySource(ones), { rank: 4, seed: 0 });
    expect(one.singularValues[0]).toBeCloseTo(50, 3);
    expect(Matrix.sub(ones, multiply(one)).norm('frobenius')).toBeLessThan(1e-3);
    const none = await randomizedSvd(products, memorySource(Matrix.zeros(7, 5)), {
      rank: 3,
      seed: 0,
    });
    expect(none).toMatchObject({ error: 0, norm: 0 });
    expect(multiply(none).norm('frobenius')).toBe(0);
  });

  it('uses more vectors for a smaller tolerance, all of them orthonormal', async () => {
    const random = seededRandom(3);
    const matrix = new Matrix(200, 210);
    matrix.apply((row, column) => matrix.set(row, column, standardNormal(random)));
    const least = leastError(matrix, 20);
    const found: LowRank[] = [];
    for (const tolerance of [1, 0]) {
      const request = { rank: 20, seed: 1, tolerance };
      const one = await randomizedSvd(products, memorySource(matrix), request);
      const left = Matrix.from1DArray(20, 200, one.left.numbers);
      const skew = Matrix.sub(left.mmul(left.transpose()), Matrix.eye(20));
      expect(skew.norm('frobenius')).toBeLessThan(1e-5);
      found.push(one);
    }
    const [rough, fine] = found;
    expect(rough?.basisSize).toBeLessThan(200);
    expect(fine?.basisSize).toBe(200);
    expect(rough?.error).toBeGreaterThan(fine?.error ?? Number.NaN);
    expect((fine?.error ?? Number.NaN) / least).toBeLessThan(1.00001);
  });

  it('refuses NaN, naming the matrix', async () => {
    const matrix = Matrix.ones(4, 4);
    matrix.set(2, 1, Number.NaN);
    await expect(
      randomizedSvd(products, memorySource(matrix), { rank: 2, seed: 0 }),
    ).rejects.toMatchObject({ subject: { field: `matrix ${made}` } });
  });

  it('reads a weight from its file, in bfloat16 too', async () => {
    const model = await openModel(fixture('llama-bf16'));
    const tensor = model.sublayer(1).tensors.find(({ name }) => name.includes('down_proj'));
    expect(tensor?.dtype).toBe('BF16');
    if (tensor !== undefined) {
      const full = Math.min(...tensor.shape);
      const found = await randomizedSvd(
        products,
        { kind: 'stored', tensor },
        { rank: full, seed: 0 },
      );
      expect(found.error / found.norm).toBeLessThan(1e-3);
      expect(found.singularValues).toHaveLength(full);
    }
  });
});

describe('small matrices', () => {
  const makeGram = (size: number, seed: number): Matrix => {
    const random = seededRandom(seed);
    const matrix = new Matrix(size, size + 3);
    matrix.apply((row, column) => matrix.set(row, column, standardNormal(random)));
    return matrix.mmul(matrix.transpose());
  };
  const square = (matrix: Matrix): { size: number; numbers: Float64Array } => ({
    size: matrix.rows,
    numbers: Float64Array.from(matrix.to1DArray()),
  });

  it('have a Cholesky factor and its inverse', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 30 }), fc.nat(1000), (size, seed) => {
        const gram = makeGram(size, seed);
        const lower = cholesky(square(gram));
        expect(lower).toBeDefined();
        if (lower === undefined) return;
        const factor = Matrix.from1DArray(size, size, lower.numbers);
        const difference = Matrix.sub(factor.mmul(factor.transpose()), gram);
        expect(difference.norm('frobenius')).toBeLessThan(1e-12 * gram.norm('frobenius'));
        const inverse = Matrix.from1DArray(size, size, invertLower(lower).numbers);
        const identity = Matrix.sub(inverse.mmul(factor), Matrix.eye(size));
        expect(identity.norm('frobenius')).toBeLessThan(1e-9);
      }),
    );
  });

  it('that are singular have one after a shift', () => {
    const singular = square(Matrix.ones(6, 6));
    expect(cholesky(singular)).toBeUndefined();
    expect(cholesky(shiftDiagonal(singular, 1e-12))).toBeDefined();
  });

  it('that are symmetric have eigenvalues, largest first, and vectors', () => {
    const gram = makeGram(12, 4);
    const { values, vectors } = symmetricEigen(square(gram));
    expect([...values]).toEqual([...values].sort((a, b) => b - a));
    const rows = Matrix.from1DArray(12, 12, vectors);
    const back = rows
      .transpose()
      .mmul(Matrix.diag([...values]))
      .mmul(rows);
    expect(Matrix.sub(back, gram).norm('frobenius')).toBeLessThan(1e-10 * (values[0] ?? 1));
  });
});
