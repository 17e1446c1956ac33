import type { TensorData } from '../../checkpoints/tensor-data';
import type { BlockQuantizedForm } from '../../models/matrix-encoding';
import type { Rows } from '../../linear-algebra/matrix-source';
import { float32Data, uint8Data } from '../tensor-values';
import { fitScale, quantize } from './block-grid';
import type { BlockGrid, BlockScale } from './block-grid';

/** Collects the whole numbers, scales and zeros of a matrix in the layout of com.microsoft MatMulNBits. */
export class BlockWriter {
  public readonly blocks: number;
  private readonly blockBytes: number;
  private readonly zeroBytes: number;
  private readonly quants: Uint8Array;
  private readonly scales: Float32Array;
  private readonly zeros: Uint8Array | undefined;

  public constructor(
    private readonly grid: BlockGrid,
    private readonly out: number,
    private readonly inputs: number,
  ) {
    const { bits, blockSize, isAsymmetric } = grid;
    this.blocks = Math.ceil(inputs / blockSize);
    this.blockBytes = (blockSize * bits) / 8;
    this.zeroBytes = Math.ceil((this.blocks * bits) / 8);
    this.quants = new Uint8Array(out * this.blocks * this.blockBytes);
    this.scales = new Float32Array(out * this.blocks);
    this.zeros = isAsymmetric ? new Uint8Array(out * this.zeroBytes) : undefined;
  }

  /** To be called once for a block, before its numbers. */
  public setScale(row: number, block: number, { scale, zero }: BlockScale): void {
    const { bits, blockSize } = this.grid;
    this.scales[row * this.blocks + block] = scale;
    if (this.zeros !== undefined) {
      put(this.zeros, row * this.zeroBytes, bits, block, zero);
    }
    // What lies behind the last input counts as nothing.
    const start = (row * this.blocks + block) * this.blockBytes;
    for (let i = this.inputs - block * blockSize; i < blockSize; i++) {
      put(this.quants, start, bits, i, zero);
    }
  }

  public setNumber(row: number, column: number, q: number): void {
    put(this.quants, row * this.blocks * this.blockBytes, this.grid.bits, column, q);
  }

  public form(run: BlockQuantizedForm['run']): BlockQuantizedForm<TensorData> {
    const { out, inputs, blocks, grid, zeros } = this;
    return {
      kind: 'block-quantized',
      bits: grid.bits,
      blockSize: grid.blockSize,
      out,
      in: inputs,
      quants: uint8Data([out, blocks, this.blockBytes], this.quants),
      scales: float32Data([out, blocks], this.scales),
      ...(zeros === undefined ? {} : { zeros: uint8Data([out, this.zeroBytes], zeros) }),
      run,
    };
  }
}

/** Puts number `i` of those that begin at byte `start`; of two in a byte, the first is the low one. */
function put(bytes: Uint8Array, start: number, bits: 4 | 8, i: number, q: number): void {
  if (bits === 8) {
    bytes[start + i] = q;
  } else {
    const at = start + (i >> 1);
    bytes[at] = (bytes[at] ?? 0) | (q << ((i & 1) * 4));
  }
}

/** Each weight becomes the number nearest to it. */
export function roundToNearest(
  matrix: Rows,
  grid: BlockGrid,
  run: BlockQuantizedForm['run'],
): BlockQuantizedForm<TensorData> {
  const { count, length, numbers } = matrix;
  const { bits, blockSize } = grid;
  const writer = new BlockWriter(grid, count, length);
  for (let row = 0; row < count; row++) {
    for (let block = 0; block < writer.blocks; block++) {
      const first = block * blockSize;
      const size = Math.min(blockSize, length - first);
      const start = row * length + first;
      const { scale, zero } = fitScale(grid, numbers, start, size, 1);
      writer.setScale(row, block, { scale, zero });
      for (let i = 0; i < size; i++) {
        writer.setNumber(row, first + i, quantize(bits, numbers[start + i] ?? 0, scale, zero));
      }
    }
  }
  return writer.form(run);
}
