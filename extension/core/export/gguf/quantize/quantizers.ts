import { ggmlBlockOf } from '../../../checkpoints/ggml-types';
import type { WritableType } from '../../../checkpoints/ggml-types';
import { numberToHalf } from '../../../checkpoints/half';
import { quantizeIQ4NL, quantizeIQ4XS } from './iq4-blocks';
import { quantizeQ2K, quantizeQ3K, quantizeQ4K, quantizeQ5K, quantizeQ6K } from './k-blocks';
import { affine, quantizeQ8, symmetric } from './legacy-blocks';
import type { RowQuantizer } from './quantizer';

const single = new Float32Array(1);
const pattern = new Uint32Array(single.buffer);

/** Bits of the bfloat16 number nearest to a float32, ties to even. */
function toBfloat(value: number): number {
  single[0] = value;
  const [bits = 0] = pattern;
  return Number.isNaN(value) ? (bits >>> 16) | 64 : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

const quantizers: Readonly<Record<WritableType, RowQuantizer>> = {
  F32: (x, out, at) => {
    for (let i = 0; i < x.length; i++) {
      out.setFloat32(at + 4 * i, x[i] ?? 0, true);
    }
  },
  F16: (x, out, at) => {
    for (let i = 0; i < x.length; i++) {
      out.setUint16(at + 2 * i, numberToHalf(x[i] ?? 0), true);
    }
  },
  BF16: (x, out, at) => {
    for (let i = 0; i < x.length; i++) {
      out.setUint16(at + 2 * i, toBfloat(x[i] ?? 0), true);
    }
  },
  Q8_0: quantizeQ8,
  Q4_0: symmetric(4),
  Q4_1: affine(4),
  Q5_0: symmetric(5),
  Q5_1: affine(5),
  Q2_K: quantizeQ2K,
  Q3_K: quantizeQ3K,
  Q4_K: quantizeQ4K,
  Q5_K: quantizeQ5K,
  Q6_K: quantizeQ6K,
  IQ4_NL: quantizeIQ4NL,
  IQ4_XS: quantizeIQ4XS,
};

/** Bytes of a row of so many numbers. */
export function rowBytes(type: WritableType, length: number): number {
  const { elements, bytes } = ggmlBlockOf(type);
  return (length / elements) * bytes;
}

/** Whether rows of so many numbers can be divided into blocks. */
export function fitsRows(type: WritableType, length: number): boolean {
  return length % ggmlBlockOf(type).elements === 0;
}

/**
 * Writes rows of numbers as a type of ggml, to the bits that llama.cpp writes.
 * @param x whole rows of `length` numbers
 * @param importance of each column, where known: float32 [length]
 */
export function quantizeRows(
  type: WritableType,
  x: Float32Array,
  length: number,
  importance?: Float32Array,
): Uint8Array {
  const bytes = rowBytes(type, length);
  const out = new Uint8Array((x.length / length) * bytes);
  const view = new DataView(out.buffer);
  const quantize = quantizers[type];
  for (let row = 0; row * length < x.length; row++) {
    quantize(x.subarray(row * length, (row + 1) * length), view, row * bytes, importance);
  }
  return out;
}
