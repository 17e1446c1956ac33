/** Packing of a ggml format: `elements` consecutive elements of a row share a block of `bytes`. */
export interface GgmlBlock {
  readonly elements: number;
  readonly bytes: number;
}

/** Block formats of ggml that have no counterpart in safetensors (ggml.h, ggml-common.h). */
const blockFormats = {
  Q4_0: { elements: 32, bytes: 18 },
  Q4_1: { elements: 32, bytes: 20 },
  Q5_0: { elements: 32, bytes: 22 },
  Q5_1: { elements: 32, bytes: 24 },
  Q8_0: { elements: 32, bytes: 34 },
  Q8_1: { elements: 32, bytes: 36 },
  Q2_K: { elements: 256, bytes: 84 },
  Q3_K: { elements: 256, bytes: 110 },
  Q4_K: { elements: 256, bytes: 144 },
  Q5_K: { elements: 256, bytes: 176 },
  Q6_K: { elements: 256, bytes: 210 },
  Q8_K: { elements: 256, bytes: 292 },
  IQ2_XXS: { elements: 256, bytes: 66 },
  IQ2_XS: { elements: 256, bytes: 74 },
  IQ3_XXS: { elements: 256, bytes: 98 },
  IQ1_S: { elements: 256, bytes: 50 },
  IQ4_NL: { elements: 32, bytes: 18 },
  IQ3_S: { elements: 256, bytes: 110 },
  IQ2_S: { elements: 256, bytes: 82 },
  IQ4_XS: { elements: 256, bytes: 136 },
  IQ1_M: { elements: 256, bytes: 56 },
  TQ1_0: { elements: 256, bytes: 54 },
  TQ2_0: { elements: 256, bytes: 66 },
  MXFP4: { elements: 32, bytes: 17 },
  NVFP4: { elements: 64, bytes: 36 },
  Q1_0: { elements: 128, bytes: 18 },
  Q2_0: { elements: 64, bytes: 18 },
} as const;
export type GgmlDType = keyof typeof blockFormats;

/** Block formats with code books, and ternary and binary ones. */
const bookDTypes = [
  'IQ1_S',
  'IQ1_M',
  'IQ2_XXS',
  'IQ2_XS',
  'IQ2_S',
  'IQ3_XXS',
  'IQ3_S',
  'IQ4_NL',
  'IQ4_XS',
  'TQ1_0',
  'TQ2_0',
  'MXFP4',
  'NVFP4',
  'Q1_0',
  'Q2_0',
] as const satisfies readonly GgmlDType[];
export type BookDType = (typeof bookDTypes)[number];

/** Block formats with scales, and perhaps least numbers, for integers of 2 to 8 bits. */
const scaledDTypes = [
  'Q8_0',
  'Q4_0',
  'Q4_1',
  'Q5_0',
  'Q5_1',
  'Q2_K',
  'Q3_K',
  'Q4_K',
  'Q5_K',
  'Q6_K',
] as const satisfies readonly GgmlDType[];

/** Block formats that models can be run in: all but Q8_1 and Q8_K, which llama.cpp keeps for activations. */
export const dequantizedDTypes = [
  ...scaledDTypes,
  ...bookDTypes,
] as const satisfies readonly GgmlDType[];
export type DequantizedDType = (typeof dequantizedDTypes)[number];

export function isDequantized(dtype: string): dtype is DequantizedDType {
  return (dequantizedDTypes as readonly string[]).includes(dtype);
}

/** The block of a format that {@link dequantizedDTypes} names. */
export function ggmlBlock(dtype: GgmlDType): GgmlBlock {
  return blockFormats[dtype];
}

/** Types that numbers can be written as. */
export const writableTypes = ['F32', 'F16', 'BF16', ...scaledDTypes, 'IQ4_NL', 'IQ4_XS'] as const;
export type WritableType = (typeof writableTypes)[number];

type PlainDType = 'F32' | 'F16' | 'BF16' | 'F64' | 'I8' | 'I16' | 'I32' | 'I64';

/** A tensor type as a GGUF file numbers it. */
export interface GgmlType extends GgmlBlock {
  readonly dtype: GgmlDType | PlainDType;
}

const plain = (dtype: PlainDType, bytes: number): GgmlType => ({ dtype, elements: 1, bytes });
const blocks = (dtype: GgmlDType): GgmlType => ({ dtype, ...blockFormats[dtype] });

/** `enum ggml_type`; numbers that are missing here were withdrawn. */
export const ggmlTypes: ReadonlyMap<number, GgmlType> = new Map([
  [0, plain('F32', 4)],
  [1, plain('F16', 2)],
  [2, blocks('Q4_0')],
  [3, blocks('Q4_1')],
  [6, blocks('Q5_0')],
  [7, blocks('Q5_1')],
  [8, blocks('Q8_0')],
  [9, blocks('Q8_1')],
  [10, blocks('Q2_K')],
  [11, blocks('Q3_K')],
  [12, blocks('Q4_K')],
  [13, blocks('Q5_K')],
  [14, blocks('Q6_K')],
  [15, blocks('Q8_K')],
  [16, blocks('IQ2_XXS')],
  [17, blocks('IQ2_XS')],
  [18, blocks('IQ3_XXS')],
  [19, blocks('IQ1_S')],
  [20, blocks('IQ4_NL')],
  [21, blocks('IQ3_S')],
  [22, blocks('IQ2_S')],
  [23, blocks('IQ4_XS')],
  [24, plain('I8', 1)],
  [25, plain('I16', 2)],
  [26, plain('I32', 4)],
  [27, plain('I64', 8)],
  [28, plain('F64', 8)],
  [29, blocks('IQ1_M')],
  [30, plain('BF16', 2)],
  [34, blocks('TQ1_0')],
  [35, blocks('TQ2_0')],
  [39, blocks('MXFP4')],
  [40, blocks('NVFP4')],
  [41, blocks('Q1_0')],
  [42, blocks('Q2_0')],
]);

/** The block of a type that {@link ggmlTypes} has. */
export function parseGgmlBlock(dtype: string): GgmlBlock {
  const type = [...ggmlTypes.values()].find((known) => known.dtype === dtype);
  if (type === undefined) {
    throw new Error(`${dtype} is no type of ggml`);
  }
  return type;
}

/** Writable type with this ggml number, or undefined. */
export function findWritableType(number: number): WritableType | undefined {
  const dtype = ggmlTypes.get(number)?.dtype;
  return writableTypes.find((type) => type === dtype);
}

/** The number of a type that {@link ggmlTypes} has. */
export function ggmlTypeNumber(dtype: string): number {
  for (const [number, type] of ggmlTypes) {
    if (type.dtype === dtype) {
      return number;
    }
  }
  throw new Error(`${dtype} is no type of ggml`);
}
