import { elementCount } from '../../checkpoints/lazy-tensor';
import type { CodeValues, Grid, LazyTensor, PackedMatrix } from '../../checkpoints/lazy-tensor';
import { readBytes } from '../../checkpoints/read-tensor';
import type { QuantizationSummary } from '../model-summary';
import {
  byteMatrix,
  bytesTimes,
  expect,
  fault,
  floats,
  gridShape,
  matrixShape,
  take,
} from './packed-parts';
import type { Matrix, Parts } from './packed-parts';
import { say } from '../../message';

export async function joinCompressed(
  parts: Parts,
  quantization: QuantizationSummary,
): Promise<Matrix> {
  const numbers = parts.get('weight_packed');
  if (numbers === undefined) {
    return joinStored(parts, quantization);
  }
  const [out, columns] = matrixShape(numbers);
  if (numbers.dtype === 'U8') {
    const scales = take(parts, 'weight_scale');
    return joinFourBit(numbers, scales, parts.get('weight_global_scale'));
  }
  const shape = await readShape(parts);
  const bits = quantization.bits ?? (shape === undefined ? 4 : findBits(columns, shape[1]));
  const storedWords = (columns * 32) / bits;
  const sizes = shape ?? ([out, storedWords] as const);
  // Older versions start a new word per row, so they use more words if `bits` doesn't divide 32.
  const isOneStream = columns === Math.ceil((sizes[1] * bits) / 32);
  if (
    numbers.dtype !== 'I32' ||
    !Number.isInteger(storedWords) ||
    sizes[0] !== out ||
    !isOneStream
  ) {
    return { numbers, shape: sizes };
  }
  const codes = { bits, order: 'columns', values: 'unsigned' } as const;
  const scales = floats(take(parts, 'weight_scale'));
  const zeros = parts.get('weight_zero_point');
  const minus = zeros === undefined ? 2 ** (bits - 1) : packZeros(zeros, scales.shape, bits);
  return {
    numbers,
    shape: sizes,
    sizes: parts.get('weight_shape'),
    packed: {
      shape: sizes,
      tensor: numbers,
      codes,
      stored: storedWords,
      minus: typeof minus === 'number' ? minus : spreadBy(minus, parts),
      times: spreadBy(scales, parts),
    },
  };
}

/** Zero points [out, groups]; a word contains those of several consecutive rows. */
function packZeros(
  tensor: LazyTensor,
  shape: readonly [number, number],
  bits: number,
): PackedMatrix {
  const [out, groups] = shape;
  expect(tensor, ['I32'], [Math.ceil((out * bits) / 32), groups]);
  return { shape, tensor, codes: { bits, order: 'rows', values: 'unsigned' } };
}

/** Grid [out, groups] with one column per input, selected by the group index. */
function spreadBy(matrix: PackedMatrix, parts: Parts): Grid {
  const groups = parts.get('weight_g_idx');
  return groups === undefined ? { matrix } : { matrix, groups: { tensor: groups, axis: 1 } };
}

async function readShape(parts: Parts): Promise<readonly [number, number] | undefined> {
  const shape = parts.get('weight_shape');
  if (shape === undefined) {
    return undefined;
  }
  const sizes = await readBytes(shape, 16);
  if (shape.dtype !== 'I64' || sizes.length !== 16) {
    throw fault(shape, 'packed-shape-invalid', say`It must be the two sizes of a matrix.`);
  }
  return [Number(sizes.readBigInt64LE(0)), Number(sizes.readBigInt64LE(8))];
}

/** Largest number of bits so that `columns` values fit into `words` words. */
function findBits(words: number, columns: number): number {
  return Math.min(8, Math.floor((words * 32) / columns));
}

/** Floats of four bits, two a byte, their scales in eight bits or as floats, all over or times one number. */
function joinFourBit(
  numbers: LazyTensor,
  scales: LazyTensor,
  over?: LazyTensor,
  times?: LazyTensor,
): Matrix {
  const [out, bytes] = matrixShape(numbers);
  const shape = [out, bytes * 2] as const;
  const matrix = {
    ...packScales(scales),
    ...(over === undefined ? {} : { over: { matrix: floats(over) } }),
    ...(times === undefined ? {} : { times: { matrix: floats(times) } }),
  };
  const codes = { bits: 4, order: 'columns', values: 'E2M1' } as const;
  return { numbers, shape, packed: { shape, tensor: numbers, codes, times: { matrix } } };
}

/** Scales, which may be 8-bit floats or exponents. */
function packScales(tensor: LazyTensor): PackedMatrix {
  const types: Readonly<Record<string, CodeValues>> = {
    F8_E4M3: 'E4M3',
    F8_E8M0: 'E8M0',
    U8: 'E8M0',
  };
  const type = types[tensor.dtype];
  return type === undefined
    ? floats(tensor)
    : { shape: gridShape(tensor), tensor, codes: { bits: 8, order: 'columns', values: type } };
}

/** True if a tensor holds the scales of a layer of published DeepSeek-V4 checkpoints. */
function isExponents({ name, dtype }: LazyTensor): boolean {
  return name.endsWith('.scale') && dtype === 'F8_E8M0';
}

/**
 * Like {@link joinStored}, for 8-bit values, or 4-bit values stored as I8, with exponents as
 * scales.
 */
export function joinExponents(parts: Parts, quantization: QuantizationSummary): Matrix {
  const [numbers, scale] = [parts.get('weight'), parts.get('scale')];
  if (scale === undefined) {
    return joinStored(parts, quantization);
  }
  if (numbers === undefined || !isExponents(scale)) {
    return undefined;
  }
  const { block } = quantization;
  return numbers.dtype === 'I8'
    ? joinFourBit(numbers, scale)
    : bytesTimes(numbers, { times: { matrix: packScales(scale), ...(block && { block }) } });
}

/** 8-bit values, or two 4-bit values per byte, with their scales. Floats are also supported. */
export function joinStored(parts: Parts, { block }: QuantizationSummary): Matrix {
  const numbers = parts.get('weight');
  if (numbers === undefined || parts.size === 1) {
    return undefined;
  }
  const scales = parts.get('weight_scale_inv') ?? parts.get('weight_scale');
  if (scales === undefined) {
    return { numbers, shape: numbers.shape };
  }
  if (numbers.dtype === 'U8') {
    return joinFourBit(numbers, scales, undefined, parts.get('weight_scale_2'));
  }
  const matrix = packScales(scales);
  const isBlocks = block !== undefined && elementCount(scales.shape) > 1;
  const zeros = parts.get('weight_zero_point');
  return bytesTimes(numbers, {
    times: { matrix, ...(isBlocks ? { block } : {}) },
    ...(zeros === undefined ? {} : { minus: { matrix: byteMatrix(zeros) } }),
  });
}

/**
 * Experts as MXFP4 blocks of 32 4-bit floats, [experts, out, blocks, 16 bytes], instead of
 * [experts, in, out].
 */
export function joinBlocks(parts: Parts): Matrix {
  const numbers = take(parts, '_blocks');
  const scales = take(parts, '_scales');
  const [experts = 0, out = 0, blocks = 0] = numbers.shape;
  expect(numbers, ['U8'], [experts, out, blocks, 16]);
  expect(scales, ['U8'], [experts, out, blocks]);
  const shape = [out, blocks * 32] as const;
  const exponents = { bits: 8, order: 'columns', values: 'E8M0' } as const;
  return {
    numbers,
    shape: [experts, blocks * 32, out],
    isTransposed: true,
    packed: {
      shape,
      tensor: numbers,
      codes: { bits: 4, order: 'columns', values: 'E2M1' },
      times: { matrix: { shape: [out, blocks], tensor: scales, codes: exponents } },
    },
  };
}
