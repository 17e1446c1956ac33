import { Matrix } from 'ml-matrix';
import { afterAll, describe, expect, it } from 'vitest';
import { seededRandom, standardNormal } from '../../../extension/core/data/random';
import { MatrixProducts } from '../../../extension/core/linear-algebra/matrix-products';
import { cholesky, invertLower } from '../../../extension/core/linear-algebra/small-matrix';
import { solveCholesky } from '../../../extension/core/linear-algebra/ridge';

const products = new MatrixProducts('cpu', 0);
afterAll(async () => products.dispose());

function normals(rows: number, columns: number, seed: number): Matrix {
  const random = seededRandom(seed);
  const matrix = new Matrix(rows, columns);
  matrix.apply((row, column) => matrix.set(row, column, standardNormal(random)));
  return matrix;
}

describe('solving by a Cholesky factor', () => {
  // Below, at and above the rows of one block, and of several.
  it.each([
    [1, 1],
    [5, 3],
    [64, 2],
    [65, 70],
    [200, 1],
    [256, 9],
  ])('returns X with L·Lᵀ·X = B, of %i rows and %i columns', async (size, columns) => {
    const half = normals(size, size + 3, size);
    const gram = half.mmul(half.transpose());
    const lower = cholesky({ size, numbers: Float64Array.from(gram.to1DArray()) });
    if (lower === undefined) {
      throw new Error('the matrix is positive definite');
    }
    const right = normals(size, columns, columns);
    const solved = Matrix.from1DArray(
      size,
      columns,
      await solveCholesky(products, lower, Float64Array.from(right.to1DArray())),
    );
    // Backward stable: the residual is small relative to ‖G‖·‖X‖, for any condition number.
    const residual = Matrix.sub(gram.mmul(solved), right).norm('frobenius');
    expect(residual).toBeLessThan(1e-14 * size * gram.norm() * solved.norm());
    const inverse = Matrix.from1DArray(size, size, invertLower(lower).numbers);
    const byInverse = inverse.transpose().mmul(inverse).mmul(right);
    expect(Matrix.sub(solved, byInverse).norm()).toBeLessThan(1e-9 * byInverse.norm());
  });
});
