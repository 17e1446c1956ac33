import { dequantizedDTypes } from './ggml-types';
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

/** Forms of matrices that several tensors stand for together, see {@link PackedWeight}. */
export const packedDTypes = ['GPTQ', 'AWQ'] as const;
export type PackedDType = (typeof packedDTypes)[number];

/** Element types of safetensors files, block formats of GGUF files, and packed forms. */
export type DType = SafetensorsDType | GgmlDType | PackedDType;

/** Element types that models can be run in; the others are only listed. */
export const runnableDTypes: ReadonlySet<DType> = new Set<DType>([
  'F32',
  'F16',
  'BF16',
  ...dequantizedDTypes,
  ...packedDTypes,
]);

/**
 * A matrix [out, in] whose numbers of few bits share words: (number − zero) · scale, with one zero
 * and one scale for each output and group of inputs.
 */
export interface PackedWeight {
  readonly dtype: PackedDType;
  readonly bits: number;
  /** GPTQ: [in · bits / 32, out]; AWQ: [in, out · bits / 32]. */
  readonly numbers: LazyTensor;
  /** [groups, out · bits / 32] */
  readonly zeros: LazyTensor;
  /** What was taken from the zeros before they were stored. */
  readonly zeroOffset: number;
  /** [groups, out] */
  readonly scales: LazyTensor;
  /** Group of each input [in]; where absent, groups are equal runs of inputs. */
  readonly groups?: LazyTensor;
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
  /** Name of the stored tensor, where this is one of its slices. */
  readonly sliceOf?: string;
  /** The model's own file that it belongs to, where it has been made of a tensor of that file. */
  readonly home?: string;
  /** Set where other tensors stand for this one; `length` is then that of all of them. */
  readonly packed?: PackedWeight;
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
  return {
    ...tensor,
    name: `${tensor.name}:${start}-${end}`,
    sliceOf: tensor.sliceOf ?? tensor.name,
    shape: [end - start, ...rest],
    offset: tensor.offset + start * rowBytes,
    length: (end - start) * rowBytes,
  };
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
