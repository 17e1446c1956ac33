import type { TensorData } from '../../checkpoints/lazy-tensor';
import { roundStep, fitScales } from '../../linear-algebra/kernels';
import type { Rows } from '../../linear-algebra/matrix-source';
import type { GroupQuantizedEncoding } from '../../models/matrix-encoding';
import { float32Data, transpose, uint8Data } from '../tensor-values';

/**
 * Encodes integers and blocks in the layout of com.microsoft MatMulNBits.
 * @param numbers [in, out]
 */
export function blockForm(
  found: BlockScales,
  numbers: Uint8Array,
  run: GroupQuantizedEncoding['run'],
): GroupQuantizedEncoding<TensorData> {
  const { grid, out, inputs, blocks, scales, zeros } = found;
  const { bits, groupSize, isAsymmetric } = grid;
  const blockBytes = (groupSize * bits) / 8;
  const transposedScales = transpose({ count: blocks, length: out, numbers: scales });
  return {
    kind: 'group-quantized',
    bits,
    groupSize,
    out,
    in: inputs,
    quants: uint8Data([out, blocks, blockBytes], packed(filled(found, numbers), out, bits)),
    scales: float32Data([out, blocks], transposedScales),
    ...(isAsymmetric
      ? {
          zeros: uint8Data(
            [out, Math.ceil((blocks * bits) / 8)],
            packed(Uint8Array.from(zeros), out, bits),
          ),
        }
      : {}),
    run,
  };
}

/** Integers [in, out] padded to the end of the last block with values that dequantize to 0. */
function filled(
  { grid: { groupSize }, out, inputs, blocks, zeros }: BlockScales,
  numbers: Uint8Array,
): Uint8Array {
  if (inputs === blocks * groupSize) {
    return numbers;
  }
  const all = new Uint8Array(blocks * groupSize * out);
  all.set(numbers);
  const lastZeros = zeros.subarray((blocks - 1) * out);
  for (let i = inputs * out; i < all.length; i += out) {
    all.set(lastZeros, i);
  }
  return all;
}

/** Packs integers [count, out] to bytes [out, …]; the first of two in a byte is the low one. */
function packed(numbers: Uint8Array, out: number, bits: 4 | 8): Uint8Array {
  const count = numbers.length / out;
  const width = Math.ceil((count * bits) / 8);
  const bytes = new Uint8Array(out * width);
  for (let i = 0; i < width; i++) {
    const first = (bits === 8 ? i : 2 * i) * out;
    for (let row = 0; row < out; row++) {
      const low = numbers[first + row] ?? 0;
      bytes[row * width + i] = bits === 8 ? low : low | ((numbers[first + out + row] ?? 0) << 4);
    }
  }
  return bytes;
}

/** Rounds each weight to the nearest representable value. */
export function roundToNearest(
  matrix: Rows,
  grid: BlockGrid,
  run: GroupQuantizedEncoding['run'],
): GroupQuantizedEncoding<TensorData> {
  const { count: out, length: inputs } = matrix;
  const blocks = new BlockScales(grid, out, inputs);
  const numbers = new Uint8Array(inputs * out);
  for (let block = 0; block < blocks.blocks; block++) {
    const [first, end] = blocks.inputsOf(block);
    const values = transpose(matrix, first, end);
    blocks.fit(block, values);
    roundStep({
      ...{ step: end - first, rows: out, targets: values, weights: values },
      ...blocks.of(block),
      range: blocks.range,
      numbers: numbers.subarray(first * out, end * out),
    });
  }
  return blockForm(blocks, numbers, run);
}

/** Integer grid of quantization blocks. */
export interface BlockGrid {
  readonly bits: 4 | 8;
  /** Weights that share a scale, along the inputs: a power of two from 16. */
  readonly groupSize: number;
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
    this.blocks = Math.ceil(inputs / grid.groupSize);
    this.scales = new Float32Array(this.blocks * out);
    this.zeros = new Float32Array(this.blocks * out);
  }

  /** Smallest and largest integer. */
  public get range(): readonly [number, number] {
    return [0, 2 ** this.grid.bits - 1];
  }

  /** First input of a block, and the end of its inputs (exclusive). */
  public inputsOf(block: number): readonly [number, number] {
    const { groupSize } = this.grid;
    return [block * groupSize, Math.min(this.inputs, (block + 1) * groupSize)];
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
