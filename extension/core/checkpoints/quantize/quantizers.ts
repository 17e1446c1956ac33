import { parseGgmlBlock } from '../ggml-types';
import type { WritableType } from '../ggml-types';
import { halfToNumber, numberToHalf } from '../half';
import { blockDecoders } from './block-decoders';
import type { BlockDecoder } from './book-decoders';
import { quantizeIQ4NL, quantizeIQ4XS } from './iq4-blocks';
import { quantizeQ2K, quantizeQ3K, quantizeQ4K, quantizeQ5K, quantizeQ6K } from './k-blocks';
import { affine, quantizeQ8, symmetric } from './legacy-blocks';
import type { ColumnImportance, RowQuantizer } from './quantizer';

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

/** Reads what the quantizers write. */
const decoders: Readonly<Record<WritableType, BlockDecoder>> = {
  ...blockDecoders,
  F32: (bytes, at, out, to) => {
    out[to] = bytes.readFloatLE(at);
  },
  F16: (bytes, at, out, to) => {
    out[to] = halfToNumber(bytes.readUInt16LE(at));
  },
  BF16: (bytes, at, out, to) => {
    pattern[0] = bytes.readUInt16LE(at) << 16;
    out[to] = single[0] ?? 0;
  },
};

/** Number of bytes of a row with `length` elements. */
export function rowBytes(type: WritableType, length: number): number {
  const { elements, bytes } = parseGgmlBlock(type);
  return (length / elements) * bytes;
}

/** True if rows of `length` elements can be divided into blocks. */
export function fitsRows(type: WritableType, length: number): boolean {
  return length % parseGgmlBlock(type).elements === 0;
}

/** Types of a tensor whose rows the wanted one cannot divide (`tensor_type_fallback`). */
const fallbacks: Partial<Record<WritableType, WritableType>> = {
  IQ4_XS: 'IQ4_NL',
  Q2_K: 'Q4_0',
  Q3_K: 'Q4_0',
  Q4_K: 'Q5_0',
  Q5_K: 'Q5_1',
  Q6_K: 'Q8_0',
};

/** Wanted type, or llama.cpp's fallback if the row length isn't a multiple of its block size. */
export function fittingType(type: WritableType, rowLength: number): WritableType {
  const tried = [type, fallbacks[type] ?? type].find((one) => fitsRows(one, rowLength));
  return tried ?? 'F16';
}

/**
 * Quantizes rows to a ggml type, bit-identical to llama.cpp.
 * @param x whole rows of `length` values
 * @param importance of each column if known, float32 [length]
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
    quantize(
      x.subarray(row * length, (row + 1) * length),
      view,
      row * bytes,
      importance && { numbers: importance },
    );
  }
  return out;
}

/** Quantizes a row with squared errors weighted only by importance; the bytes differ from llama.cpp's. */
export function fitRow(
  type: WritableType,
  x: Float32Array,
  importance: ColumnImportance['numbers'],
): Uint8Array {
  const out = new Uint8Array(rowBytes(type, x.length));
  quantizers[type](x, new DataView(out.buffer), 0, { numbers: importance, isAlone: true });
  return out;
}

/** Rows of numbers as they are read from a file that {@link quantizeRows} wrote them to. */
export function roundRows(
  type: WritableType,
  x: Float32Array,
  length: number,
  importance?: Float32Array,
): Float32Array {
  const { elements, bytes } = parseGgmlBlock(type);
  const decode = decoders[type];
  const rounded = new Float32Array(x.length);
  const row = new Float64Array(length);
  for (let at = 0; at < x.length; at += length) {
    const written = Buffer.from(
      quantizeRows(type, x.subarray(at, at + length), length, importance).buffer,
    );
    for (let block = 0; block * elements < length; block++) {
      decode(written, block * bytes, row, block * elements);
    }
    rounded.set(row, at);
  }
  return rounded;
}
