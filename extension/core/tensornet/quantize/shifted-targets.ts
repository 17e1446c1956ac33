import { choleskyBlocked } from '../../linear-algebra/blocked-cholesky';
import type { MatrixProducts } from '../../linear-algebra/matrix-products';
import type { MatrixSource, Rows } from '../../linear-algebra/matrix-source';
import { solveCholesky } from '../../linear-algebra/ridge';
import { shiftDiagonal } from '../../linear-algebra/small-matrix';
import type { SquareMatrix } from '../../linear-algebra/small-matrix';
import type { InputShift, InputStatistics } from '../statistics/statistics-accumulator';
import { transpose } from '../tensor-values';

/** Share of the mean of the Gram matrix's diagonal that is added to it, so that noise in few inputs isn't fitted (bench/league). */
const dampingShare = 0.1;
/** Share of the residual stream's error that a layer corrects (bench/league). */
const streamShare = 0.5;
/** Share α of the change that is made. The full change fits the calibration text and is worse on other text (bench/league). */
const changeShare = 0.5;

/**
 * Targets for rounding the weights W [out, in] of a layer whose inputs in the quantized model are x instead of the
 * original's x₀: W′ = W + α·ΔW, where ΔW = W·Σ (x₀ − x)ᵀ·x · (Σ xᵀ·x)⁻¹ gives the original's outputs by least squares
 * (asymmetric calibration with a share α; GPTAQ, arXiv 2504.02692). In a layer whose outputs are added to the residual
 * stream, ΔW also corrects half of the stream's error.
 */
export class ShiftedTargets {
  /** (Σ xᵀ·x)⁻¹·Σ xᵀ·(x₀ − x), [in, in]. */
  private perWeight: Rows | undefined;

  private constructor(
    private readonly products: MatrixProducts,
    private readonly lower: SquareMatrix,
    private readonly shift: InputShift,
  ) {}

  /** Undefined if the original model was not run. */
  public static async fit(
    products: MatrixProducts,
    { gram, shift }: Pick<InputStatistics, 'gram' | 'shift'>,
  ): Promise<ShiftedTargets | undefined> {
    if (shift === undefined) {
      return undefined;
    }
    const lower = await choleskyBlocked(products, shiftDiagonal(gram, dampingShare / gram.size));
    return lower && new ShiftedTargets(products, lower, shift);
  }

  /** Targets of some rows of the matrix. @param first number of the first row */
  public async shifted(rows: Rows, first: number): Promise<Rows> {
    const { count, length, numbers } = rows;
    // Whichever has fewer columns to solve for.
    const changes =
      this.shift.stream === undefined && count > length
        ? (await this.products.apply(matrixOf(await this.solvePerWeight()), rows)).numbers
        : await this.solveFor(rows, first);
    return {
      count,
      length,
      numbers: numbers.map((weight, i) => weight + changeShare * (changes[i] ?? 0)),
    };
  }

  private async solvePerWeight(): Promise<Rows> {
    const { lower, shift } = this;
    this.perWeight ??= {
      ...{ count: lower.size, length: lower.size },
      numbers: await this.solve(shift.inputs),
    };
    return this.perWeight;
  }

  /** ΔW [rows, in] of some rows of the matrix. */
  private async solveFor(rows: Rows, first: number): Promise<Float32Array> {
    const { products, lower, shift } = this;
    const { size } = lower;
    const inputs = { count: size, length: size, numbers: shift.inputs };
    const right = transpose(await products.apply(matrixOf(inputs), rows));
    const width = (shift.stream?.length ?? 0) / size;
    for (let i = 0; i < right.length; i++) {
      const [input, row] = [Math.floor(i / rows.count), i % rows.count];
      right[i] = (right[i] ?? 0) + streamShare * (shift.stream?.[input * width + first + row] ?? 0);
    }
    const solved = await this.solve(right);
    return transpose({ count: size, length: rows.count, numbers: solved });
  }

  /** (Σ xᵀ·x)⁻¹·B for B [in, columns]. */
  private async solve(right: Float32Array): Promise<Float32Array> {
    const solved = await solveCholesky(this.products, this.lower, Float64Array.from(right));
    return Float32Array.from(solved);
  }
}

const matrixOf = (rows: Rows): MatrixSource => ({ kind: 'numbers', name: 'shift', rows });
