import type { TensorData } from '../../checkpoints/lazy-tensor';
import { roundStep } from '../../linear-algebra/kernels';
import type { Rows } from '../../linear-algebra/matrix-source';
import type { BlockQuantizedEncoding } from '../../models/matrix-encoding';
import { float32Data, transpose, uint8Data } from '../tensor-values';
import { BlockScales } from './block-grid';
import type { BlockGrid } from './block-grid';

/**
 * Encodes integers and blocks in the layout of com.microsoft MatMulNBits.
 * @param numbers [in, out]
 */
export function blockForm(
  found: BlockScales,
  numbers: Uint8Array,
  run: BlockQuantizedEncoding['run'],
): BlockQuantizedEncoding<TensorData> {
  const { grid, out, inputs, blocks, scales, zeros } = found;
  const { bits, blockSize, isAsymmetric } = grid;
  const blockBytes = (blockSize * bits) / 8;
  const transposedScales = transpose({ count: blocks, length: out, numbers: scales });
  return {
    kind: 'block-quantized',
    bits,
    blockSize,
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
  { grid: { blockSize }, out, inputs, blocks, zeros }: BlockScales,
  numbers: Uint8Array,
): Uint8Array {
  if (inputs === blocks * blockSize) {
    return numbers;
  }
  const all = new Uint8Array(blocks * blockSize * out);
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
  run: BlockQuantizedEncoding['run'],
): BlockQuantizedEncoding<TensorData> {
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
