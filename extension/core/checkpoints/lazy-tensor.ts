import { dequantizedDTypes, isDequantized } from './ggml-types';
import type { GgmlDType } from './ggml-types';

/** Element types of safetensors files, with their size in bits. */
export const dtypeBits = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;
export type SafetensorsDType = keyof typeof dtypeBits;

/** Element type of matrices that are stored as several tensors, see {@link PackedMatrix}. */
export const packedDType = 'PACKED';

/** Element types of safetensors files, block formats of GGUF files, and packed forms. */
export type DType = SafetensorsDType | GgmlDType | typeof packedDType;

/** Element types that models can be run in; the others are only listed. */
export const runnableDTypes: ReadonlySet<DType> = new Set<DType>([
  'F32',
  'F16',
  'BF16',
  ...dequantizedDTypes,
  packedDType,
]);

/** Order of a matrix's codes in its bytes; see `unpack.ts`. */
export type CodeOrder = 'columns' | 'rows' | 'even-first' | 'high-first';

/** Floats of four and eight bits, by the sizes of exponent and fraction. */
export type SmallFloat = 'E2M1' | 'E4M3' | 'E5M2' | 'E8M0';

/**
 * Values of the codes: integers, small floats by their bits, or the entries of a table in a file.
 */
export type CodeValues = 'unsigned' | 'signed' | SmallFloat | LazyTensor;

/** A smaller matrix with one value for each block of another matrix. */
export interface Grid {
  readonly matrix: PackedMatrix;
  /** Sizes of a block; where absent, all blocks are equal. */
  readonly block?: readonly [rows: number, columns: number];
  /** Block index of each row or column along `axis`, if blocks are not consecutive. */
  readonly groups?: {
    readonly tensor: LazyTensor;
    readonly axis: 0 | 1;
    /** True if the blocks are known to be consecutive nevertheless. */
    readonly areRuns?: boolean;
  };
}

/** A matrix stored as several tensors: (codes − minus) · times / over + plus. */
export interface PackedMatrix {
  readonly shape: readonly [rows: number, columns: number];
  readonly tensor: LazyTensor;
  /** Format of the codes; if absent, the tensor contains floats. */
  readonly codes?: {
    readonly bits: number;
    readonly order: CodeOrder;
    readonly values: CodeValues;
  };
  /** Number of stored columns, if padding fills up words. */
  readonly stored?: number;
  readonly minus?: Grid | number;
  readonly times?: Grid;
  readonly over?: Grid | number;
  readonly plus?: number;
}

/** Weight in a packed quantization format. */
export interface PackedWeight {
  readonly matrix: PackedMatrix;
  /** True if the matrix is the weight's transpose. */
  readonly isTransposed: boolean;
  /** The weight's rows that are meant, the last exclusive; all when absent. */
  readonly rows?: readonly [from: number, to: number];
  /** Tensor that contains the weight's shape. */
  readonly sizes?: LazyTensor;
}

/** A tensor that stays in its file: where its bytes lie and how to read them. */
export interface LazyTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Absolute path, links resolved. */
  readonly file: string;
  /** First byte in the file. */
  readonly offset: number;
  /** Length in bytes. */
  readonly length: number;
  /**
   * Number of heads whose rows are stored interleaved (0, half, 1, half + 1, …), as llama.cpp keeps
   * the query and key projections of llama models; they are put back in order when emitted.
   */
  readonly interleavedHeads?: number;
  /** The bytes, if the tensor isn't in a file. */
  readonly inline?: Uint8Array;
  /** Fills `length` bytes with the tensor, for one that is computed when a session is created and is in no file. */
  readonly computed?: (target: Uint8Array) => Promise<void>;
  /** Name of the stored tensor, if this is one of its slices. */
  readonly sliceOf?: string;
  /** The model's own file with the original tensor, if this one was made from it. */
  readonly home?: string;
  /** Set if several tensors store this one; `length` is then their total length. */
  readonly packed?: PackedWeight;
}

/** Types of floats that are read and written as they are. */
export const floatDTypes: readonly string[] = ['F32', 'F16', 'BF16'] satisfies DType[];

/** True if a tensor is a matrix of floats, of GGUF blocks or of packed numbers in files, which `readFloatRows` reads. */
export function hasFloatRows({ dtype, shape, packed, inline, computed }: LazyTensor): boolean {
  return (
    shape.length > 1 &&
    (inline ?? computed) === undefined &&
    (packed === undefined
      ? floatDTypes.includes(dtype) || isDequantized(dtype)
      : hasPackedRows(packed, shape))
  );
}

/** True if rows of the weight are rows or columns of the packed matrix, or runs of its only row. */
function hasPackedRows(
  { matrix, isTransposed, rows }: PackedWeight,
  shape: readonly number[],
): boolean {
  const [count = 0, columns = 0] = shape;
  const [down, across] = matrix.shape;
  const all = rows === undefined ? count : elementCount(matrix.shape) / columns;
  const [high, wide] = isTransposed ? [columns, all] : [all, columns];
  return (
    shape.length === 2 &&
    ((down === high && across === wide) || (!isTransposed && down === 1 && across === high * wide))
  );
}

/** The tensors stored in files: those of a packed weight, or the tensor itself. */
export function storedParts(tensor: LazyTensor): readonly LazyTensor[] {
  return tensor.packed === undefined ? [tensor] : matrixTensors(tensor.packed.matrix);
}

function matrixTensors({ tensor, codes, minus, times, over }: PackedMatrix): LazyTensor[] {
  const grids = [minus, times, over].filter((part) => typeof part === 'object');
  return [
    tensor,
    ...(typeof codes?.values === 'object' ? [codes.values] : []),
    ...grids.flatMap(({ matrix, groups }) => [
      ...matrixTensors(matrix),
      ...(groups === undefined ? [] : [groups.tensor]),
    ]),
  ];
}

/** Named tensors of one or more files. */
export interface Checkpoint {
  readonly tensors: ReadonlyMap<string, LazyTensor>;
  /** Weight files in a fixed order, absolute, links resolved. */
  readonly files: readonly string[];
  /** File that lists the tensors: the index, or the single weight file. */
  readonly entry: string;
  /** `__metadata__` of the first file. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Rows `start` to `end` (exclusive) of a tensor that lies row by row in its file. */
export function sliceRows(tensor: LazyTensor, start: number, end: number): LazyTensor {
  const [count = 1, ...rest] = tensor.shape;
  const rowBytes = tensor.length / count;
  const { packed } = tensor;
  const first = packed?.rows?.[0] ?? 0;
  return {
    ...tensor,
    ...(packed === undefined ? {} : { packed: { ...packed, rows: [first + start, first + end] } }),
    name: `${tensor.name}:${start}-${end}`,
    sliceOf: tensor.sliceOf ?? tensor.name,
    shape: [end - start, ...rest],
    offset: tensor.offset + start * rowBytes,
    length: (end - start) * rowBytes,
  };
}

/** Part `index` of a tensor along its first axis, named after it and its number. */
export function tensorPart(tensor: LazyTensor, index: number): LazyTensor {
  const { packed } = tensor;
  const [count = 1, ...shape] = tensor.shape;
  const length = tensor.length / count;
  return {
    ...tensor,
    name: `${tensor.name}:${index}`,
    sliceOf: tensor.name,
    shape,
    offset: tensor.offset + index * length,
    length,
    ...(packed === undefined
      ? {}
      : { packed: { ...packed, matrix: matrixPart(packed.matrix, index) } }),
  };
}

/** The corresponding part of every tensor of the matrix. */
function matrixPart(matrix: PackedMatrix, index: number): PackedMatrix {
  const { times } = matrix;
  return {
    ...matrix,
    tensor: tensorPart(matrix.tensor, index),
    ...(times === undefined
      ? {}
      : { times: { ...times, matrix: matrixPart(times.matrix, index) } }),
  };
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** A tensor in memory. */
export interface TensorData {
  readonly dtype: 'F32' | 'F16' | 'U8' | 'I8';
  readonly shape: readonly number[];
  /** Little-endian, the last index running fastest. */
  readonly bytes: Uint8Array;
}
