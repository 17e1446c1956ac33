import { withModelFile } from './model-file';
import { GgufReader } from './gguf-reader';
import { say } from '../message';

/** List in a GGUF header that is read from the file on demand, because token lists are long. */
export interface GgufArray {
  /** Number of the elements' type. */
  readonly elementType: number;
  readonly length: number;
  /** Byte of the first element. */
  readonly offset: number;
}

/** Value in a GGUF header. Integers beyond 2^53 are bigints. */
export type GgufValue = number | bigint | boolean | string | GgufArray;
export type GgufScalar = Exclude<GgufValue, GgufArray>;

/** Value types by number (`enum gguf_metadata_value_type`). */
export const stringType = 8;
export const arrayType = 9;
const boolType = 7;
const fixedTypes: ReadonlyMap<
  number,
  { readonly bytes: number; readonly read: (b: Buffer) => number | bigint }
> = new Map([
  [0, { bytes: 1, read: (b) => b.readUInt8() }],
  [1, { bytes: 1, read: (b) => b.readInt8() }],
  [2, { bytes: 2, read: (b) => b.readUInt16LE() }],
  [3, { bytes: 2, read: (b) => b.readInt16LE() }],
  [4, { bytes: 4, read: (b) => b.readUInt32LE() }],
  [5, { bytes: 4, read: (b) => b.readInt32LE() }],
  [6, { bytes: 4, read: (b) => b.readFloatLE() }],
  [10, { bytes: 8, read: (b) => narrow(b.readBigUInt64LE()) }],
  [11, { bytes: 8, read: (b) => narrow(b.readBigInt64LE()) }],
  [12, { bytes: 8, read: (b) => b.readDoubleLE() }],
]);

/** Bytes per element of a list, or undefined if elements have different lengths. */
export function ggufElementBytes(type: number): number | undefined {
  return type === boolType ? 1 : fixedTypes.get(type)?.bytes;
}

/** Longest text of one value, such as a chat template, in bytes. */
const maxStringBytes = 1 << 24;
/** Most texts and lists in all lists of a header; the largest vocabularies have a million tokens and merges. */
const maxListed = 4_000_000;
/** Lists of lists are allowed, but no file is known that has them. */
const maxNesting = 4;

/** Reads the value of `key`; lists are passed over. */
export async function readGgufValue(reader: GgufReader, key: string): Promise<GgufValue> {
  const type = await reader.uint32();
  return type === arrayType ? passArray(reader, key, 1) : readScalar(reader, type, key);
}

async function readScalar(reader: GgufReader, type: number, key: string): Promise<GgufScalar> {
  if (type === stringType) {
    return reader.string(say`text of ${key}`, maxStringBytes);
  }
  if (type === boolType) {
    const value = await reader.uint8();
    if (value > 1) {
      throw reader.fault(
        'gguf-flag-invalid',
        say`${value} is neither true (1) nor false (0).`,
        key,
      );
    }
    return value === 1;
  }
  const fixed = fixedTypes.get(type);
  if (fixed === undefined) {
    throw reader.fault(
      'gguf-value-type-unsupported',
      say`Values of type ${type} are not supported.`,
      key,
    );
  }
  return fixed.read(await reader.take(fixed.bytes));
}

async function passArray(reader: GgufReader, key: string, depth: number): Promise<GgufArray> {
  if (depth > maxNesting) {
    throw reader.fault(
      'gguf-list-nested-too-deep',
      say`Lists are nested deeper than ${maxNesting}.`,
      key,
    );
  }
  const elementType = await reader.uint32();
  const length = await reader.size64(say`number of elements`);
  const offset = reader.position;
  const bytes = ggufElementBytes(elementType);
  if (bytes !== undefined) {
    reader.skip(bytes * length);
    return { elementType, length, offset };
  }
  reader.listed += length;
  if (reader.listed > maxListed) {
    throw reader.fault(
      'gguf-texts-too-many',
      say`The header lists more than ${maxListed} texts.`,
      key,
    );
  }
  if (elementType === stringType) {
    for (let i = 0; i < length; i++) {
      reader.skip(await reader.size64(say`length of a text`));
    }
  } else if (elementType === arrayType) {
    for (let i = 0; i < length; i++) {
      await passArray(reader, key, depth + 1);
    }
  } else {
    throw reader.fault(
      'gguf-list-type-unsupported',
      say`Lists of type ${elementType} are not supported.`,
      key,
    );
  }
  return { elementType, length, offset };
}

/**
 * Reads the elements of a list that a header was found to have.
 * @throws UserError when an element is damaged, or a list itself.
 */
export async function readGgufArray(
  path: string,
  key: string,
  array: GgufArray,
): Promise<GgufScalar[]> {
  return withModelFile(path, async ({ handle, size }) => {
    const reader = new GgufReader(handle, size, path, array.offset);
    const fixed = fixedTypes.get(array.elementType);
    if (fixed !== undefined) {
      const all = await reader.take(fixed.bytes * array.length);
      return Array.from({ length: array.length }, (_, i) =>
        fixed.read(all.subarray(i * fixed.bytes)),
      );
    }
    const values: GgufScalar[] = [];
    while (values.length < array.length) {
      values.push(await readScalar(reader, array.elementType, key));
    }
    return values;
  });
}

function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
