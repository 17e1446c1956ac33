/** How the elements of each dtype (named as safetensors does) are held. */
export const arrayTypes = {
  F64: Float64Array,
  F32: Float32Array,
  /** Bit patterns, as ONNX Runtime takes them. */
  F16: Uint16Array,
  I64: BigInt64Array,
  I32: Int32Array,
  I16: Int16Array,
  I8: Int8Array,
  U64: BigUint64Array,
  U32: Uint32Array,
  U16: Uint16Array,
  U8: Uint8Array,
  /** 0 or 1. */
  BOOL: Uint8Array,
} as const;

export type ArrayDType = keyof typeof arrayTypes;
export type TypedArray =
  | Float64Array
  | Float32Array
  | BigInt64Array
  | Int32Array
  | Int16Array
  | Int8Array
  | BigUint64Array
  | Uint32Array
  | Uint16Array
  | Uint8Array;

/** An array of numbers in memory, last axis fastest. */
export interface NumericArray {
  readonly dtype: ArrayDType;
  /** Sizes of its axes; none for a single number. */
  readonly dims: readonly number[];
  readonly data: TypedArray;
}

/** Such as `F32 [2, 3]`. */
export function describeArray({ dtype, dims }: NumericArray): string {
  return `${dtype} [${dims.join(', ')}]`;
}
