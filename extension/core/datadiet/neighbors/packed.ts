type Packed = Int8Array | Int32Array | Float32Array;

/** Bytes of numbers in base64, low byte first, as NumPy's `frombuffer` reads them. */
export const pack = ({ buffer, byteOffset, byteLength }: Packed): string =>
  Buffer.from(buffer, byteOffset, byteLength).toString('base64');

/** Bytes of base64, copied so that numbers of several bytes lie where they may. */
function bytesOf(text: string): ArrayBuffer {
  const bytes = Buffer.from(text, 'base64');
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
}

export const unpackInt8 = (text: string): Int8Array => new Int8Array(bytesOf(text));
export const unpackInt32 = (text: string): Int32Array => new Int32Array(bytesOf(text));
export const unpackFloat32 = (text: string): Float32Array => new Float32Array(bytesOf(text));

/** Bytes that a text of base64 stands for. */
export const packedBytes = (text: string): number => Buffer.byteLength(text, 'base64');
