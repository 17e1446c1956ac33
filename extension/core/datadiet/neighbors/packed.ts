type Packed = Int8Array | Int32Array | Float32Array;

/** Encodes the bytes of a typed array in base64, little-endian as numpy's `frombuffer` reads them. */
export const pack = ({ buffer, byteOffset, byteLength }: Packed): string =>
  Buffer.from(buffer, byteOffset, byteLength).toString('base64');

/** Decodes base64 into a new buffer, so that typed arrays are aligned. */
function unpackBytes(text: string): ArrayBuffer {
  const bytes = Buffer.from(text, 'base64');
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
}

export const unpackInt8 = (text: string): Int8Array => new Int8Array(unpackBytes(text));
export const unpackInt32 = (text: string): Int32Array => new Int32Array(unpackBytes(text));
export const unpackFloat32 = (text: string): Float32Array => new Float32Array(unpackBytes(text));

/** Decoded size of a base64 text in bytes. */
export const packedBytes = (text: string): number => Buffer.byteLength(text, 'base64');
