/** A value as a GGUF file has it: the number of its type and its bytes. */
export interface RawValue {
  readonly type: number;
  readonly bytes: Buffer;
}

export const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

export const uint64 = (value: number | bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};

export const string = (text: string | Buffer): Buffer => {
  const bytes = Buffer.from(text);
  return Buffer.concat([uint64(bytes.length), bytes]);
};

export const textValue = (text: string): RawValue => ({ type: 8, bytes: string(text) });
export const flagValue = (value: boolean): RawValue => ({ type: 7, bytes: Buffer.from([+value]) });
export const numberValue = (value: number): RawValue => ({ type: 4, bytes: uint32(value) });
export const listValue = (type: number, length: number, bytes: Buffer): RawValue => ({
  type: 9,
  bytes: Buffer.concat([uint32(type), uint64(length), bytes]),
});

export interface RawTensor {
  readonly name: string;
  /** The innermost size first, as the file has them. */
  readonly sizes: readonly (number | bigint)[];
  readonly type: number;
  readonly offset: number | bigint;
}

/** Bytes of a GGUF file with this header and that many bytes of data. */
export function ggufBytes(
  metadata: readonly (readonly [string, RawValue])[],
  tensors: readonly RawTensor[],
  dataBytes: number,
  version = 3,
): Buffer {
  const header = Buffer.concat([
    Buffer.from('GGUF'),
    uint32(version),
    uint64(tensors.length),
    uint64(metadata.length),
    ...metadata.flatMap(([key, { type, bytes }]) => [string(key), uint32(type), bytes]),
    ...tensors.flatMap(({ name, sizes, type, offset }) => [
      string(name),
      uint32(sizes.length),
      ...sizes.map(uint64),
      uint32(type),
      uint64(offset),
    ]),
  ]);
  const padding = Buffer.alloc((32 - (header.length % 32)) % 32);
  return Buffer.concat([header, padding, Buffer.alloc(dataBytes, 1)]);
}
