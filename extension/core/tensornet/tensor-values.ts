import { floatsToHalves, halvesToFloats } from '../checkpoints/half';
import type { TensorData } from '../checkpoints/lazy-tensor';
import type { Rows } from '../linear-algebra/matrix-source';

/** Wraps float32 values as a tensor without copying. */
export function float32Data(shape: readonly number[], numbers: Float32Array): TensorData {
  return { dtype: 'F32', shape, bytes: viewBytes(numbers) };
}

/** Converts values to a tensor of the requested dtype. */
export function floatData(
  shape: readonly number[],
  numbers: Float32Array,
  dtype: 'F32' | 'F16',
): TensorData {
  return dtype === 'F32'
    ? float32Data(shape, numbers)
    : { dtype, shape, bytes: viewBytes(floatsToHalves(numbers)) };
}

export function uint8Data(shape: readonly number[], bytes: Uint8Array): TensorData {
  return { dtype: 'U8', shape, bytes };
}

export function int8Data(shape: readonly number[], numbers: Int8Array): TensorData {
  return { dtype: 'I8', shape, bytes: viewBytes(numbers) };
}

/** Values of a float32 or float16 tensor; float32 isn't copied. */
export function dataToFloats({ dtype, bytes }: TensorData): Float32Array {
  const { buffer, byteOffset, byteLength } = bytes;
  if (dtype === 'F32') {
    return new Float32Array(buffer, byteOffset, byteLength / Float32Array.BYTES_PER_ELEMENT);
  }
  if (dtype === 'F16') {
    const halves = new Uint16Array(buffer, byteOffset, byteLength / Uint16Array.BYTES_PER_ELEMENT);
    return halvesToFloats(halves);
  }
  throw new Error(`a tensor of ${dtype} holds no floating-point numbers`);
}

function viewBytes(numbers: Float32Array | Uint16Array | Int8Array): Uint8Array {
  return new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
}

/** Side of the tiles for transposing, which fit in the CPU cache. */
const tile = 32;

/** Transposes a matrix [count, length]; with `from` and `to`, only these columns, to [to − from, count]. */
export function transpose({ count, length, numbers }: Rows, from = 0, to = length): Float32Array {
  const result = new Float32Array((to - from) * count);
  for (let top = 0; top < count; top += tile) {
    const bottom = Math.min(count, top + tile);
    for (let first = from; first < to; first += tile) {
      const end = Math.min(to, first + tile);
      for (let row = top; row < bottom; row++) {
        for (let column = first; column < end; column++) {
          result[(column - from) * count + row] = numbers[row * length + column] ?? 0;
        }
      }
    }
  }
  return result;
}

/** Multiplies column j by factor j. */
export function scaleColumns(
  { count, length, numbers }: Rows,
  factors: Float32Array | Float64Array,
): Rows {
  const result = new Float32Array(numbers.length);
  for (let start = 0; start < numbers.length; start += length) {
    for (let i = 0; i < length; i++) {
      result[start + i] = (numbers[start + i] ?? 0) * (factors[i] ?? 0);
    }
  }
  return { count, length, numbers: result };
}
