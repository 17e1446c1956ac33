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

/** Element type of matrices that several tensors stand for together, see {@link PackedMatrix}. */
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

/** How the codes of a matrix lie in its bytes; see `unpack.ts`. */
export type CodeOrder = 'columns' | 'rows' | 'even-first' | 'high-first';

/** Floats of four and eight bits, by the sizes of exponent and fraction. */
export type SmallFloat = 'E2M1' | 'E4M3' | 'E5M2' | 'E8M0';

/** What codes stand for: integers, small floats by their bits, or the numbers of a table in a file. */
export type CodeValues = 'unsigned' | 'signed' | SmallFloat | LazyTensor;

/** A smaller matrix: each of its numbers goes with a block of another one's. */
export interface Grid {
  readonly matrix: PackedMatrix;
  /** Sizes of a block; where absent, all blocks are equal. */
  readonly block?: readonly [rows: number, columns: number];
  /** Along `axis` the number of the block for each row or column, where blocks are no runs. */
  readonly groups?: {
    readonly tensor: LazyTensor;
    readonly axis: 0 | 1;
    /** Whether they are known to be runs all the same. */
    readonly areRuns?: boolean;
  };
}

/** A matrix that tensors stand for together: (codes − minus) · times / over + plus. */
export interface PackedMatrix {
  readonly shape: readonly [rows: number, columns: number];
  readonly tensor: LazyTensor;
  /** How to read the tensor; where absent, it holds floats. */
  readonly codes?: {
    readonly bits: number;
    readonly order: CodeOrder;
    readonly values: CodeValues;
  };
  /** Number of stored columns, where those behind the matrix's own fill up words. */
  readonly stored?: number;
  readonly minus?: Grid | number;
  readonly times?: Grid;
  readonly over?: Grid | number;
  readonly plus?: number;
}

/** A weight in such a form. */
export interface PackedWeight {
  readonly matrix: PackedMatrix;
  /** Whether the matrix is the weight's transpose. */
  readonly turned: boolean;
  /** The weight's rows that are meant, the last exclusive; all when absent. */
  readonly rows?: readonly [from: number, to: number];
  /** A tensor that tells the weight's shape. */
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
  /** Its bytes, where it lies in no file. */
  readonly inline?: Uint8Array;
  /** Fills `length` bytes with the tensor, for one that is computed when a session is created and is in no file. */
  readonly computed?: (target: Uint8Array) => Promise<void>;
  /** Name of the stored tensor, where this is one of its slices. */
  readonly sliceOf?: string;
  /** The model's own file that it belongs to, where it has been made of a tensor of that file. */
  readonly home?: string;
  /** Set where other tensors stand for this one; `length` is then that of all of them. */
  readonly packed?: PackedWeight;
}

const floatDTypes: ReadonlySet<DType> = new Set<DType>(['F32', 'F16', 'BF16']);

/** True if a tensor is a matrix of floats, of GGUF blocks or of packed numbers in files, which `readFloatRows` reads. */
export function hasFloatRows({ dtype, shape, packed, inline, computed }: LazyTensor): boolean {
  return (
    shape.length > 1 &&
    (inline ?? computed) === undefined &&
    (packed === undefined
      ? floatDTypes.has(dtype) || isDequantized(dtype)
      : hasPackedRows(packed, shape))
  );
}

/** True if rows of the weight are rows or columns of the packed matrix, or runs of its only row. */
function hasPackedRows({ matrix, turned, rows }: PackedWeight, shape: readonly number[]): boolean {
  const [count = 0, columns = 0] = shape;
  const [down, across] = matrix.shape;
  const all = rows === undefined ? count : elementCount(matrix.shape) / columns;
  const [high, wide] = turned ? [columns, all] : [all, columns];
  return (
    shape.length === 2 &&
    ((down === high && across === wide) || (!turned && down === 1 && across === high * wide))
  );
}

/** The tensors that lie in files: those that a packed one is made of, or the tensor itself. */
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
  /** The file that says where the tensors are: the index, or the single weight file. */
  readonly entry: string;
  /** `__metadata__` of the first file. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Rows `start` to `end` (exclusive) of a tensor that lies row by row in its file. */
export function rowsOfTensor(tensor: LazyTensor, start: number, end: number): LazyTensor {
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
export function partOfTensor(tensor: LazyTensor, index: number): LazyTensor {
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
      : { packed: { ...packed, matrix: partOfMatrix(packed.matrix, index) } }),
  };
}

/** The same of every tensor that numbers of the matrix lie in. */
function partOfMatrix(matrix: PackedMatrix, index: number): PackedMatrix {
  const { times } = matrix;
  return {
    ...matrix,
    tensor: partOfTensor(matrix.tensor, index),
    ...(times === undefined
      ? {}
      : { times: { ...times, matrix: partOfMatrix(times.matrix, index) } }),
  };
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
