import type { TensorData } from '../../checkpoints/tensor-data';
import { roundStep } from '../../linear-algebra/kernels';
import type { Rows } from '../../linear-algebra/matrix-source';
import type { BlockQuantizedForm } from '../../models/matrix-encoding';
import { float32Data, transpose, uint8Data } from '../tensor-values';
import { BlockScales } from './block-grid';
import type { BlockGrid } from './block-grid';

/**
 * Integers and blocks in the layout of com.microsoft MatMulNBits.
 * @param numbers [in, out]
 */
export function blockForm(
  { grid, out, inputs, blocks, scales, zeros }: BlockScales,
  numbers: Uint8Array,
  run: BlockQuantizedForm['run'],
): BlockQuantizedForm<TensorData> {
  const { bits, blockSize, isAsymmetric } = grid;
  const blockBytes = (blockSize * bits) / 8;
  const whole = new Uint8Array(blocks * blockSize * out);
  whole.set(numbers);
  // What lies behind the last input counts as nothing.
  const lastZeros = zeros.subarray((blocks - 1) * out);
  for (let i = inputs * out; i < whole.length; i += out) {
    whole.set(lastZeros, i);
  }
  const turnedScales = transpose({ count: blocks, length: out, numbers: scales });
  return {
    kind: 'block-quantized',
    bits,
    blockSize,
    out,
    in: inputs,
    quants: uint8Data([out, blocks, blockBytes], packed(whole, out, bits)),
    scales: float32Data([out, blocks], turnedScales),
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

/** Integers [count, out] as bytes [out, …]; of two in a byte, the first is the low one. */
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

/** Each weight becomes the number nearest to it. */
export function roundToNearest(
  matrix: Rows,
  grid: BlockGrid,
  run: BlockQuantizedForm['run'],
): BlockQuantizedForm<TensorData> {
  const { count: out, length: inputs } = matrix;
  const weights = transpose(matrix);
  const blocks = new BlockScales(grid, out, inputs);
  const numbers = new Uint8Array(weights.length);
  for (let block = 0; block < blocks.blocks; block++) {
    const [first, end] = blocks.inputsOf(block);
    const values = weights.subarray(first * out, end * out);
    blocks.fit(block, values);
    roundStep({
      ...{ step: end - first, rows: out, targets: values, weights: values },
      ...blocks.of(block),
      range: blocks.range,
      errors: new Float32Array(values.length),
      numbers: numbers.subarray(first * out, end * out),
    });
  }
  return blockForm(blocks, numbers, run);
}
