import * as v from 'valibot';
import { described } from '../../jobs/parse-document';
import { layouts } from './issue-kinds';

const count = v.pipe(v.number(), v.integer(), v.minValue(1));

/** Embedding of the examples in a scores document: vectors, neighbors and points of the map. */
export const embeddingSchema = v.object({
  layer: described(v.string(), 'Embedded layer: the model, and its number of features'),
  width: described(count, 'Components of each example'),
  vectors: described(
    v.string(),
    'Direction of each vector, from −127 to 127: int8 [examples, width] in base64',
  ),
  nearest: described(count, 'Neighbors of each example'),
  neighbors: described(
    v.string(),
    'Indices of the most similar examples by cosine, nearest first: int32 [examples, nearest] in base64, low byte first',
  ),
  layout: described(v.picklist(layouts), 'Method of the map'),
  points: described(
    v.string(),
    'Points on the map: float32 [examples, 2] in base64, low byte first',
  ),
});

/** Embedding of examples from features of a model: vectors, neighbors and a map. */
export type StoredEmbedding = v.InferOutput<typeof embeddingSchema>;

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
const packedBytes = (text: string): number => Buffer.byteLength(text, 'base64');

/** Name of the first list whose size in bytes is wrong; undefined if all are valid. */
export function findInvalidList(
  { width, vectors, nearest, neighbors, points }: StoredEmbedding,
  examples: number,
): string | undefined {
  const sizes = { vectors: width, neighbors: 4 * nearest, points: 8 };
  const texts = { vectors, neighbors, points };
  const names = ['vectors', 'neighbors', 'points'] as const;
  return names.find((name) => packedBytes(texts[name]) !== sizes[name] * examples);
}
