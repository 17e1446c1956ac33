import { DataType } from '../onnx/graph-builder';
import type { DType } from './lazy-tensor';

/** Bits per element; strings have none. */
const bits: Readonly<Record<number, number>> = {
  [DataType.FLOAT]: 32,
  [DataType.UINT8]: 8,
  [DataType.INT8]: 8,
  [DataType.UINT16]: 16,
  [DataType.INT16]: 16,
  [DataType.INT32]: 32,
  [DataType.INT64]: 64,
  [DataType.BOOL]: 8,
  [DataType.FLOAT16]: 16,
  [DataType.DOUBLE]: 64,
  [DataType.UINT32]: 32,
  [DataType.UINT64]: 64,
  [DataType.COMPLEX64]: 64,
  [DataType.COMPLEX128]: 128,
  [DataType.BFLOAT16]: 16,
  [DataType.FLOAT8E4M3FN]: 8,
  [DataType.FLOAT8E4M3FNUZ]: 8,
  [DataType.FLOAT8E5M2]: 8,
  [DataType.FLOAT8E5M2FNUZ]: 8,
  [DataType.FLOAT8E8M0]: 8,
  [DataType.UINT4]: 4,
  [DataType.INT4]: 4,
  [DataType.FLOAT4E2M1]: 4,
};

/** Bits per element, or undefined for types whose elements have no fixed size. */
export function dataTypeBits(type: number): number | undefined {
  return bits[type];
}

const dtypes: Readonly<Record<number, DType>> = {
  [DataType.FLOAT]: 'F32',
  [DataType.UINT8]: 'U8',
  [DataType.INT8]: 'I8',
  [DataType.UINT16]: 'U16',
  [DataType.INT16]: 'I16',
  [DataType.INT32]: 'I32',
  [DataType.INT64]: 'I64',
  [DataType.BOOL]: 'BOOL',
  [DataType.FLOAT16]: 'F16',
  [DataType.DOUBLE]: 'F64',
  [DataType.UINT32]: 'U32',
  [DataType.UINT64]: 'U64',
  [DataType.COMPLEX64]: 'C64',
  [DataType.BFLOAT16]: 'BF16',
  [DataType.FLOAT8E4M3FN]: 'F8_E4M3',
  [DataType.FLOAT8E5M2]: 'F8_E5M2',
  [DataType.FLOAT8E8M0]: 'F8_E8M0',
  [DataType.FLOAT4E2M1]: 'F4',
};

/** safetensors name of the type, or the ONNX name if safetensors has none. */
export function dataTypeName(type: number): string {
  return dtypes[type] ?? DataType[type] ?? `type ${type}`;
}
