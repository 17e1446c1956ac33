import type { LazyTensor } from './lazy-tensor';

/** The reference implementation pads the header with spaces so that data start at a multiple of this. */
const headerAlignment = 8;

/** A tensor to be written, under the name it gets. */
export interface NamedTensor {
  readonly name: string;
  readonly tensor: Pick<LazyTensor, 'dtype' | 'shape' | 'length'>;
}

/**
 * The bytes before a safetensors file's data: the length of the header (little-endian u64) and the
 * header, its tensors lying one after the other in the order given.
 */
export function encodeHeader(
  tensors: readonly NamedTensor[],
  metadata: Readonly<Record<string, string>>,
): Buffer {
  const entries: [string, unknown][] = [['__metadata__', metadata]];
  let offset = 0;
  for (const { name, tensor } of tensors) {
    const { dtype, shape, length } = tensor;
    entries.push([name, { dtype, shape, data_offsets: [offset, offset + length] }]);
    offset += length;
  }
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const padded = Math.ceil(json.length / headerAlignment) * headerAlignment;
  const bytes = Buffer.alloc(8 + padded, ' ');
  bytes.writeBigUInt64LE(BigInt(padded));
  json.copy(bytes, 8);
  return bytes;
}
