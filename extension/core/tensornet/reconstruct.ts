import type { TensorData } from '../checkpoints/lazy-tensor';
import type {
  GroupQuantizedEncoding,
  Int8Encoding,
  MatrixEncoding,
  MpoEncoding,
} from '../models/matrix-encoding';
import type { MatrixProducts } from '../linear-algebra/matrix-products';
import type { Rows } from '../linear-algebra/matrix-source';
import { contract } from './mpo';
import { dataToFloats, scaleColumns, transpose } from './tensor-values';

/** Decodes an encoding to the dense matrix [out, in], in float32. */
export async function reconstruct(
  products: MatrixProducts,
  form: MatrixEncoding<TensorData>,
): Promise<Rows> {
  switch (form.kind) {
    case 'dense': {
      const [count = 1, length = 1] = form.weight.shape;
      return { count, length, numbers: dataToFloats(form.weight) };
    }
    case 'low-rank': {
      const left = await reconstruct(products, form.left);
      const right = await reconstruct(products, form.right);
      return products.applyTransposed({ kind: 'numbers', name: 'right', rows: right }, left);
    }
    case 'mpo':
      return reconstructMpo(products, form);
    case 'group-quantized':
      return dequantizeBlocks(form);
    case 'int8':
      return dequantizeOutputs(form);
  }
}

async function reconstructMpo(
  products: MatrixProducts,
  { sites, cores, inputScale }: MpoEncoding<TensorData>,
): Promise<Rows> {
  const matrix = await contract(products, {
    sites,
    cores: cores.map((core) => {
      const [left = 1, out = 1, input = 1, right = 1] = core.shape;
      return { shape: [left, out, input, right], numbers: dataToFloats(core) };
    }),
  });
  return inputScale === undefined ? matrix : scaleColumns(matrix, dataToFloats(inputScale));
}

/** Computes (q − zero) · scale, block by block. */
function dequantizeBlocks(form: GroupQuantizedEncoding<TensorData>): Rows {
  const { bits, groupSize, out, in: inputs, quants, zeros } = form;
  const scales = dataToFloats(form.scales);
  const blocks = Math.ceil(inputs / groupSize);
  const numbers = new Float32Array(out * inputs);
  const rowQuants = new Uint8Array(blocks * groupSize);
  const rowZeros = new Uint8Array(blocks).fill(2 ** (bits - 1));
  for (let row = 0; row < out; row++) {
    unpack(quants.bytes, bits, row, rowQuants);
    if (zeros !== undefined) {
      unpack(zeros.bytes, bits, row, rowZeros);
    }
    for (let block = 0; block < blocks; block++) {
      const scale = scales[row * blocks + block] ?? 0;
      const zero = rowZeros[block] ?? 0;
      const end = Math.min(inputs, (block + 1) * groupSize);
      for (let column = block * groupSize; column < end; column++) {
        numbers[row * inputs + column] = ((rowQuants[column] ?? 0) - zero) * scale;
      }
    }
  }
  return { count: out, length: inputs, numbers };
}

/** Unpacks the integers of a row; the first of two in a byte is the low one. */
function unpack(bytes: Uint8Array, bits: 4 | 8, row: number, integers: Uint8Array): void {
  const width = Math.ceil((integers.length * bits) / 8);
  const start = row * width;
  if (bits === 8) {
    integers.set(bytes.subarray(start, start + width));
    return;
  }
  for (let i = 0; i < width; i++) {
    const both = bytes[start + i] ?? 0;
    integers[2 * i] = both & 0xf;
    integers[2 * i + 1] = both >> 4;
  }
}

function dequantizeOutputs({ quants, scales, inputScale }: Int8Encoding<TensorData>): Rows {
  const [inputs = 1, out = 1] = quants.shape;
  const { buffer, byteOffset, byteLength } = quants.bytes;
  const numbers = new Float32Array(new Int8Array(buffer, byteOffset, byteLength));
  const transposed = transpose({ count: inputs, length: out, numbers });
  const factors = dataToFloats(scales);
  const inputFactors = inputScale === undefined ? undefined : dataToFloats(inputScale);
  for (let row = 0; row < out; row++) {
    const rowNumbers = transposed.subarray(row * inputs, (row + 1) * inputs);
    for (let i = 0; i < inputs; i++) {
      rowNumbers[i] = (rowNumbers[i] ?? 0) * (factors[row] ?? 0) * (inputFactors?.[i] ?? 1);
    }
  }
  return { count: out, length: inputs, numbers: transposed };
}
