import { fitScales } from '../../linear-algebra/kernels';

/** Integer grid of quantization blocks. */
export interface BlockGrid {
  readonly bits: 4 | 8;
  /** Weights that share a scale, along the inputs: a power of two from 16. */
  readonly blockSize: number;
  /** True if each block has its own zero point; otherwise it is 2^(bits − 1). */
  readonly isAsymmetric: boolean;
  /** True if scales are searched for the least squared error; otherwise they span the block. */
  readonly searches: boolean;
}

/** Scales and zero points of the blocks of a matrix; an integer q represents (q − zero) · scale. */
export class BlockScales {
  public readonly blocks: number;
  /** [blocks, out] */
  public readonly scales: Float32Array;
  public readonly zeros: Float32Array;

  public constructor(
    public readonly grid: BlockGrid,
    public readonly out: number,
    public readonly inputs: number,
  ) {
    this.blocks = Math.ceil(inputs / grid.blockSize);
    this.scales = new Float32Array(this.blocks * out);
    this.zeros = new Float32Array(this.blocks * out);
  }

  /** Smallest and largest integer. */
  public get range(): readonly [number, number] {
    return [0, 2 ** this.grid.bits - 1];
  }

  /** First input of a block, and the end of its inputs (exclusive). */
  public inputsOf(block: number): readonly [number, number] {
    const { blockSize } = this.grid;
    return [block * blockSize, Math.min(this.inputs, (block + 1) * blockSize)];
  }

  /** Scales and zero points of a block, [out] each. */
  public of(block: number): { readonly scales: Float32Array; readonly zeros: Float32Array } {
    const [from, to] = [block * this.out, (block + 1) * this.out];
    return { scales: this.scales.subarray(from, to), zeros: this.zeros.subarray(from, to) };
  }

  /**
   * Fits the scales and zero points of a block. Without search, no weight changes by more than half a scale. With
   * search, Σ importance·(w − w′)² is minimized over reduced ranges, each with the scale that fits its integers best
   * (Σ w·q / Σ q², weighted); the symmetric grid also tries using its longer, negative side.
   * @param values [inputs of the block, out]
   * @param importance of each input of the matrix; 1 by default
   */
  public fit(block: number, values: Float32Array, importance?: Float64Array): void {
    const { bits, isAsymmetric, searches } = this.grid;
    const [start, end] = this.inputsOf(block);
    const costs = importance?.subarray(start, end) ?? new Float64Array(end - start).fill(1);
    fitScales({
      ...{ count: end - start, rows: this.out, values, costs },
      ...{ half: 2 ** (bits - 1), isAsymmetric, searches, ...this.of(block) },
    });
  }
}
