import { ggmlBlock, isDequantized } from '../checkpoints/ggml-types';
import { halfToNumber } from '../checkpoints/half';
import { smallFloatValues } from '../checkpoints/small-floats';
import { blockDecoders } from '../checkpoints/quantize/block-decoders';

/** Reads the values of one element type. */
export interface Decoder {
  /** Elements per quantization block, and its size in bytes. */
  readonly elements: number;
  readonly bytes: number;
  /** Decodes whole blocks into the beginning of `out`. */
  readonly decode: (bytes: Buffer, out: Float64Array) => void;
}

/** Decoders of single elements of `bytes` bytes. */
function each(bytes: number, read: (buffer: Buffer, at: number) => number): Decoder {
  return {
    elements: 1,
    bytes,
    decode: (buffer, out) => {
      for (let at = 0, i = 0; at < buffer.length; at += bytes, i++) {
        out[i] = read(buffer, at);
      }
    },
  };
}

/** Table of all values of a type with at most 16 bits, indexed by the bits. */
function table(bits: 8 | 16, value: (bits: number) => number): Decoder {
  let values: Float64Array | undefined;
  return {
    elements: 1,
    bytes: bits / 8,
    decode: (buffer, out) => {
      values ??= Float64Array.from({ length: 2 ** bits }, (_, pattern) => value(pattern));
      for (let i = 0, at = 0; at < buffer.length; i++, at += bits / 8) {
        const pattern = bits === 8 ? buffer[at] : (buffer[at] ?? 0) | ((buffer[at + 1] ?? 0) << 8);
        out[i] = values[pattern ?? 0] ?? Number.NaN;
      }
    },
  };
}

const word = new DataView(new ArrayBuffer(4));
function bfloat16(bits: number): number {
  word.setUint32(0, bits * 0x1_0000);
  return word.getFloat32(0);
}

const byByte = (values: readonly number[]): Decoder =>
  table(8, (bits) => values[bits] ?? Number.NaN);

/** By safetensors dtype name; block formats have their own decoders. */
const plain: Readonly<Record<string, Decoder>> = {
  F64: each(8, (buffer, at) => buffer.readDoubleLE(at)),
  F32: each(4, (buffer, at) => buffer.readFloatLE(at)),
  F16: table(16, halfToNumber),
  BF16: table(16, bfloat16),
  F8_E4M3: byByte(smallFloatValues.E4M3),
  F8_E5M2: byByte(smallFloatValues.E5M2),
  F8_E8M0: byByte(smallFloatValues.E8M0),
  I8: each(1, (buffer, at) => buffer.readInt8(at)),
  U8: each(1, (buffer, at) => buffer[at] ?? 0),
  BOOL: each(1, (buffer, at) => (buffer[at] === 0 ? 0 : 1)),
  I16: each(2, (buffer, at) => buffer.readInt16LE(at)),
  U16: each(2, (buffer, at) => buffer.readUInt16LE(at)),
  I32: each(4, (buffer, at) => buffer.readInt32LE(at)),
  U32: each(4, (buffer, at) => buffer.readUInt32LE(at)),
  I64: each(8, (buffer, at) => Number(buffer.readBigInt64LE(at))),
  U64: each(8, (buffer, at) => Number(buffer.readBigUInt64LE(at))),
};

/** Decoder of an element type; undefined if its values can't be read. */
export function findDecoder(dtype: string): Decoder | undefined {
  if (!isDequantized(dtype)) {
    return Object.hasOwn(plain, dtype) ? plain[dtype] : undefined;
  }
  const { elements, bytes } = ggmlBlock(dtype);
  const decodeBlock = blockDecoders[dtype];
  return {
    elements,
    bytes,
    decode: (buffer, out) => {
      for (let at = 0, to = 0; at < buffer.length; at += bytes, to += elements) {
        decodeBlock(buffer, at, out, to);
      }
    },
  };
}
