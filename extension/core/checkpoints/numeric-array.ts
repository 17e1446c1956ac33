import { halfToNumber, numberToHalf } from './half';

/** Typed array of the elements of each dtype (named as in safetensors). */
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
export function describeArray({
  dtype,
  dims,
}: {
  readonly dtype: string;
  readonly dims: readonly number[];
}): string {
  return `${dtype} [${dims.join(', ')}]`;
}

const floats: ReadonlySet<string> = new Set<ArrayDType>(['F64', 'F32', 'F16']);

/** True if the values of a dtype may have fractions. */
export const isFloat = (dtype: string): boolean => floats.has(dtype);

export const isArrayDType = (dtype: string): dtype is ArrayDType =>
  Object.hasOwn(arrayTypes, dtype);

/** Element as a number; integers beyond 2⁵³ are rounded. */
export function numberAt({ dtype, data }: Pick<NumericArray, 'dtype' | 'data'>, i: number): number {
  const value = Number(data[i]);
  return dtype === 'F16' ? halfToNumber(value) : value;
}

/** Sets the elements of an array from numbers. */
export function fillArray(
  dtype: ArrayDType,
  length: number,
  valueAt: (i: number) => number,
): TypedArray {
  const data = new arrayTypes[dtype](length);
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    for (let i = 0; i < length; i++) {
      data[i] = BigInt(valueAt(i));
    }
  } else {
    for (let i = 0; i < length; i++) {
      data[i] = dtype === 'F16' ? numberToHalf(valueAt(i)) : valueAt(i);
    }
  }
  return data;
}
