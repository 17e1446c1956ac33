import { crc32, deflateRawSync } from 'node:zlib';

/** Bytes of a .npy file, format version 1, whose header is `header` as it stands. */
export function npyBytes(header: string, data: Uint8Array, version = 1): Buffer {
  const lengthBytes = version === 1 ? 2 : 4;
  const unpadded = 8 + lengthBytes + header.length + 1;
  const text = `${header}${' '.repeat((64 - (unpadded % 64)) % 64)}\n`;
  const length = Buffer.alloc(lengthBytes);
  length.writeUIntLE(text.length, 0, lengthBytes);
  const start = Buffer.from(`\x93NUMPY${String.fromCharCode(version, 0)}`, 'latin1');
  return Buffer.concat([start, length, Buffer.from(text, 'latin1'), data]);
}

/** The header that numpy writes. */
export function npyHeader(descr: string, shape: readonly number[], fortran = false): string {
  const tuple = shape.length === 1 ? `(${shape.join()},)` : `(${shape.join(', ')})`;
  return `{'descr': '${descr}', 'fortran_order': ${fortran ? 'True' : 'False'}, 'shape': ${tuple}, }`;
}

/** A .npy file of float32 numbers. */
export function floatNpy(shape: readonly number[], values: ArrayLike<number>): Buffer {
  return npyBytes(npyHeader('<f4', shape), new Uint8Array(Float32Array.from(values).buffer));
}

/** A .npy file of int64 numbers. */
export function int64Npy(shape: readonly number[], values: readonly number[]): Buffer {
  const data = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
  return npyBytes(npyHeader('<i8', shape), data);
}

export interface ZipEntry {
  readonly name: string;
  readonly data: Uint8Array;
  readonly deflate?: boolean;
  /** False header values. */
  readonly lie?: { readonly size?: number; readonly crc?: number; readonly flags?: number };
}

/** Bytes of a zip archive. */
export function zipBytes(entries: readonly ZipEntry[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, data, deflate = false, lie = {} } of entries) {
    const packed = deflate ? deflateRawSync(data) : Buffer.from(data);
    // From "general purpose bit flag" to "extra field length", which both headers share.
    const shared = Buffer.alloc(24);
    shared.writeUInt16LE(lie.flags ?? 0, 0);
    shared.writeUInt16LE(deflate ? 8 : 0, 2);
    shared.writeUInt32LE(lie.crc ?? crc32(data), 8);
    shared.writeUInt32LE(packed.length, 12);
    shared.writeUInt32LE(lie.size ?? data.length, 16);
    shared.writeUInt16LE(name.length, 20);
    const local = Buffer.concat([Buffer.from('PK\x03\x04\x14\x00', 'latin1'), shared]);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(offset, 10);
    directory.push(
      Buffer.from('PK\x01\x02\x14\x00\x14\x00', 'latin1'),
      shared,
      rest,
      Buffer.from(name),
    );
    parts.push(local, Buffer.from(name), packed);
    offset += local.length + name.length + packed.length;
  }
  const listing = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(listing.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, listing, end]);
}
