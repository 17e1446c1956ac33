import type { Random } from '../data/random';
import type { MatrixProducts } from '../linear-algebra/matrix-products';
import type { MatrixSource, Rows } from '../linear-algebra/matrix-source';
import { matrixSizes } from '../linear-algebra/matrix-source';
import { choleskyBlocked, invertLowerBlocked } from '../linear-algebra/blocked-cholesky';
import { copyMatrix, shiftDiagonal, trace, rootMeanSquare } from '../linear-algebra/small-matrix';
import type { SquareMatrix } from '../linear-algebra/small-matrix';
import { UserError } from '../user-error';
import { say } from '../message';

/** Matrix and settings of a Krylov basis. */
export interface KrylovProblem {
  readonly matrix: MatrixSource;
  /** ‖A·C^½‖; blocks are divided by it, so that float32 neither overflows nor underflows. */
  readonly norm: number;
  /** Multiplies each row y by C, the weights of the matrix's inputs; identity if absent. */
  readonly weigh?: (rows: Rows) => Promise<Rows>;
  readonly random: Random;
  /** Vectors added at once. */
  readonly blockSize: number;
}

/** Added to a Gram matrix that isn't positive definite, as a share of its trace. */
const shift = 1e-12;
/** Norm that unit vectors must have after orthogonalization; otherwise it is repeated. */
const minNorm = 0.5;
const maxRounds = 6;
/** Noise added to a new block, relative to its values: about float32 rounding. */
const noise = 1e-6;

/**
 * Orthonormal basis Q of the block Krylov space of A·C·Aᵀ: A·Ω with random Ω, then A·C·Aᵀ times the previous block
 * (Golub and Underwood 1977; Musco and Musco 2015, arXiv 1504.05477). Each block is orthogonalized against all earlier
 * ones, twice. When the space is exhausted, noise extends Q in random directions. Vectors are rows.
 */
export class KrylovBasis {
  private readonly rows: number;
  private readonly columns: number;
  private readonly vectors: Float32Array;
  private readonly images: Float32Array;
  /** Images times C; equal to the images without weights. */
  private readonly weighed: Float32Array;
  private count = 0;
  private lastCount = 0;
  /** Source of the next block. */
  private candidate: { readonly rows: Rows; readonly scale: number } | undefined;

  public constructor(
    private readonly products: MatrixProducts,
    private readonly problem: KrylovProblem,
  ) {
    const { rows, columns } = matrixSizes(problem.matrix);
    this.rows = rows;
    this.columns = columns;
    // The operating system only allocates memory that is written.
    const most = this.smallest;
    this.vectors = new Float32Array(most * rows);
    this.images = new Float32Array(most * columns);
    this.weighed = problem.weigh === undefined ? this.images : new Float32Array(most * columns);
  }

  /** Maximum number of vectors. */
  public get smallest(): number {
    return Math.min(this.rows, this.columns);
  }

  /** Q, where `length` is the number of rows of A. */
  public get basis(): Rows {
    return part(this.vectors, this.rows, 0, this.count);
  }

  /** Q·A, where `length` is the number of columns of A. */
  public get projected(): Rows {
    return part(this.images, this.columns, 0, this.count);
  }

  /** Q·A·C·Aᵀ·Qᵀ */
  public async gram(): Promise<SquareMatrix> {
    const { projected, products, weighed, columns, count } = this;
    return weighed === this.images
      ? products.gram(projected)
      : { size: count, numbers: await products.inner(projected, part(weighed, columns, 0, count)) };
  }

  /** Adds blocks until there are `count` vectors. */
  public async growTo(count: number): Promise<void> {
    const { products, problem, rows, columns } = this;
    while (this.count < count) {
      // A block with all directions consists of the rows themselves.
      const isWhole = problem.blockSize === rows;
      const block = isWhole ? identity(rows) : await this.nextBlock(count - this.count);
      const images = isWhole
        ? await products.read(problem.matrix)
        : await products.applyTransposed(problem.matrix, block);
      this.vectors.set(block.numbers, this.count * rows);
      this.images.set(images.numbers, this.count * columns);
      if (problem.weigh !== undefined) {
        this.weighed.set((await problem.weigh(images)).numbers, this.count * columns);
      }
      this.count += block.count;
      this.lastCount = block.count;
      this.candidate = undefined;
    }
  }

  /**
   * ‖A·C·Aᵀ·u − θ·u‖² of Ritz vectors u, one per row, which are combinations of Q by eigenvectors of the Gram matrix.
   * Only the last block has an image outside of Q.
   */
  public async squaredResiduals(combinations: Float64Array): Promise<Float64Array> {
    const { count } = this;
    const { rows } = await this.nextCandidate();
    const { size, numbers } = await this.products.gram(rows);
    return Float64Array.from({ length: combinations.length / count }, (_, row) => {
      const last = combinations.subarray((row + 1) * count - size, (row + 1) * count);
      let sum = 0;
      for (let i = 0; i < size; i++) {
        let along = 0;
        for (let j = 0; j < size; j++) {
          along += (numbers[i * size + j] ?? 0) * (last[j] ?? 0);
        }
        sum += along * (last[i] ?? 0);
      }
      return sum * this.problem.norm ** 2;
    });
  }

  /** Returns at most `most` orthonormal vectors outside of Q. */
  private async nextBlock(most: number): Promise<Rows> {
    const { products, problem, rows: length, basis } = this;
    const { rows, scale } = await this.nextCandidate();
    const block = part(rows.numbers, length, 0, Math.min(most, rows.count));
    for (let i = 0; i < block.numbers.length; i++) {
      block.numbers[i] = (block.numbers[i] ?? 0) + scale * (problem.random() - 0.5);
    }
    let { rows: found } = await orthonormal(products, block);
    for (let round = 0, least = 0; least < minNorm && round < maxRounds; round++) {
      const outside = basis.count === 0 ? found : await products.reject(found, basis);
      ({ rows: found, least } = await orthonormal(products, outside));
    }
    return found;
  }

  private async nextCandidate(): Promise<{ readonly rows: Rows; readonly scale: number }> {
    if (this.candidate === undefined) {
      const { count, lastCount, columns, products, problem, basis } = this;
      const last = part(this.weighed, columns, count - lastCount, count);
      // Orthonormal, so that no direction of A is lost among directions that the block contains almost twice.
      const start =
        count > 0 ? scaled(last, 1 / problem.norm) : await firstDirections(products, problem);
      const found = await products.apply(problem.matrix, start);
      const level = rootMeanSquare(found.numbers);
      this.candidate = {
        rows: count === 0 ? found : await products.reject(found, basis),
        scale: level === 0 ? 1 : noise * level,
      };
    }
    return this.candidate;
  }
}

function identity(size: number): Rows {
  const numbers = new Float32Array(size * size);
  for (let i = 0; i < size; i++) {
    numbers[i * size + i] = 1;
  }
  return { count: size, length: size, numbers };
}

/** Rows `from` to `to` of contiguous vectors, as a view. */
function part(numbers: Float32Array, length: number, from: number, to: number): Rows {
  return { count: to - from, length, numbers: numbers.subarray(from * length, to * length) };
}

function scaled(rows: Rows, factor: number): Rows {
  return { ...rows, numbers: rows.numbers.map((x) => factor * x) };
}

/** Orthonormal directions of a matrix's inputs: random ones, or all. */
async function firstDirections(products: MatrixProducts, problem: KrylovProblem): Promise<Rows> {
  const { columns } = matrixSizes(problem.matrix);
  return problem.blockSize === columns
    ? identity(columns)
    : (await orthonormal(products, randomRows(problem, columns))).rows;
}

/**
 * Uniform random values from −1 to 1; as good as normal ones for a sketch (Martinsson and Tropp, arXiv 2002.01387, § 8).
 */
function randomRows({ random, blockSize }: KrylovProblem, length: number): Rows {
  const numbers = new Float32Array(blockSize * length);
  for (let i = 0; i < numbers.length; i++) {
    numbers[i] = 2 * random() - 1;
  }
  return { count: blockSize, length, numbers };
}

/**
 * Orthonormalizes rows by Cholesky of their Gram matrix in float64, up to rounding that grows with its condition number.
 * `least` is the smallest norm of a row after removing its projection on earlier rows; 0 after a shift.
 */
async function orthonormal(
  products: MatrixProducts,
  rows: Rows,
): Promise<{ readonly rows: Rows; readonly least: number }> {
  const gram = await products.gram(rows);
  if (!Number.isFinite(trace(gram))) {
    throw new UserError(
      'matrix-overflow',
      say`The values of the matrix are too large for float32 matmuls.`,
      { remedy: say`Leave this layer unchanged.` },
    );
  }
  let lower = await choleskyBlocked(products, copyMatrix(gram));
  const isDefinite = lower !== undefined;
  for (let share = shift; lower === undefined; share *= 10) {
    lower = await choleskyBlocked(products, shiftDiagonal(gram, share));
  }
  const { size, numbers } = lower;
  const diagonal = numbers.filter((_, i) => i % (size + 1) === 0);
  return {
    rows: await products.combine((await invertLowerBlocked(products, lower)).numbers, rows),
    least: isDefinite ? Math.min(...diagonal) : 0,
  };
}
