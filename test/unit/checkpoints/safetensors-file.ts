import { writeFileSync } from 'node:fs';

/** Bytes of a safetensors file with this header, as an object or as text, and that many bytes of data. */
export function safetensorsBytes(header: unknown, dataBytes: number): Buffer {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([size, json, Buffer.alloc(dataBytes, 1)]);
}

/** Writes such a file and gives its path. */
export function writeSafetensorsFile(path: string, header: unknown, dataBytes: number): string {
  writeFileSync(path, safetensorsBytes(header, dataBytes));
  return path;
}
