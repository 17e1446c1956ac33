import { wasmModule } from '../../web-assembly';
import type { WasmMemory } from '../../web-assembly';
import { ggmlBlock } from '../ggml-types';
import type { DequantizedDType } from '../ggml-types';
import { blockDecoders } from './block-decoders';
import { dequantizeBytes } from './dequantize-bytes';

/** Decodes `count` blocks at `from` to float32 at `to`; addresses are in bytes. */
type Kernel = (from: number, count: number, to: number) => void;

/** Exports of dequantize.as. */
type Exports = Readonly<Record<string, Kernel>> & {
  readonly memory: WasmMemory;
  readonly heap: { readonly value: number };
  readonly toInt8: (from: number, length: number, to: number, stride: number) => number;
};

/** Types that dequantize.as has a kernel for; the others are decoded by {@link blockDecoders}. */
const kernelNames: Readonly<Partial<Record<DequantizedDType, string>>> = {
  Q8_0: 'q8_0',
  Q4_0: 'q4_0',
  Q4_1: 'q4_1',
  Q5_0: 'q5_0',
  Q5_1: 'q5_1',
  Q2_K: 'q2_k',
  Q3_K: 'q3_k',
  Q4_K: 'q4_k',
  Q5_K: 'q5_k',
  Q6_K: 'q6_k',
  IQ4_NL: 'iq4_nl',
  IQ4_XS: 'iq4_xs',
  MXFP4: 'mxfp4',
};

const pageBytes = 65_536;
/** Encoded bytes that one call of a kernel decodes at most; its inputs and outputs stay in the cache. */
const bytesAtOnce = 1 << 16;

const create = wasmModule(dequantizeBytes) as () => Exports;
/** Instances that nothing uses at the moment. */
const free: Exports[] = [];

/** Instance with a heap of at least `bytes`; return it with {@link free}. */
function takeKernels(bytes: number): Exports {
  const wasm = free.pop() ?? create();
  const missing = wasm.heap.value + bytes - wasm.memory.buffer.byteLength;
  if (missing > 0) {
    wasm.memory.grow(Math.ceil(missing / pageBytes));
  }
  return wasm;
}

/**
 * Decodes whole blocks of a GGUF type, bit for bit as llama.cpp does.
 * @param out float32, one for each element of the blocks
 */
export function dequantize(dtype: DequantizedDType, blocks: Uint8Array, out: Float32Array): void {
  const { bytes: blockBytes, elements } = ggmlBlock(dtype);
  const perCall = Math.floor(bytesAtOnce / blockBytes);
  const count = blocks.length / blockBytes;
  const name = kernelNames[dtype];
  if (name === undefined) {
    decodeByElement(dtype, blocks, out);
    return;
  }
  const wasm = takeKernels(bytesAtOnce + perCall * elements * Float32Array.BYTES_PER_ELEMENT);
  const from = wasm.heap.value;
  const to = from + bytesAtOnce;
  const memory = new Uint8Array(wasm.memory.buffer);
  for (let done = 0; done < count; done += perCall) {
    const blockCount = Math.min(perCall, count - done);
    memory.set(blocks.subarray(done * blockBytes, (done + blockCount) * blockBytes), from);
    wasm[name]?.(from, blockCount, to);
    out.set(new Float32Array(wasm.memory.buffer, to, blockCount * elements), done * elements);
  }
  free.push(wasm);
}

function decodeByElement(dtype: DequantizedDType, blocks: Uint8Array, out: Float32Array): void {
  const { bytes: blockBytes, elements } = ggmlBlock(dtype);
  const buffer = Buffer.from(blocks.buffer, blocks.byteOffset, blocks.byteLength);
  const decode = blockDecoders[dtype];
  const numbers = new Float64Array(elements);
  for (let at = 0, to = 0; at < buffer.length; at += blockBytes, to += elements) {
    decode(buffer, at, numbers, 0);
    out.set(numbers, to);
  }
}

/** Largest matrix, in parameters, that {@link roundRows} works on. */
export const mostRounded = 1 << 28;

/**
 * Quantizes the rows of a matrix to int8 with one scale per row: W[o, i] ≈ scale[o] · q[i, o], where the scale is 1/127
 * of the row's largest magnitude.
 * @param rows calls `take` for each row, float32 [in], with its index
 * @param integers receives q, int8 [in, out]
 * @returns scales, float32 [out]
 */
export async function roundRows(
  { out, in: columns }: { readonly out: number; readonly in: number },
  rows: (take: (row: number, numbers: Float32Array) => void) => Promise<void>,
  integers: Uint8Array,
): Promise<Float32Array> {
  const rowBytes = columns * Float32Array.BYTES_PER_ELEMENT;
  const wasm = takeKernels(rowBytes + out * columns);
  const from = wasm.heap.value;
  const to = from + rowBytes;
  const row = new Float32Array(wasm.memory.buffer, from, columns);
  const scales = new Float32Array(out);
  await rows((index, numbers) => {
    row.set(numbers);
    scales[index] = wasm.toInt8(from, columns, to + index, out);
  });
  integers.set(new Uint8Array(wasm.memory.buffer, to, out * columns));
  free.push(wasm);
  return scales;
}
