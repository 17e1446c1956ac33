import * as v from 'valibot';
import { described } from '../../jobs/described';
import { layouts } from './issue-kinds';
import { packedBytes } from './packed';

const count = v.pipe(v.number(), v.integer(), v.minValue(1));

export const embeddingSchema = v.object({
  layer: described(v.string(), 'What was embedded: the model, and how many features it has there'),
  width: described(count, 'Components of each example'),
  vectors: described(
    v.string(),
    'Their direction, from −127 to 127: int8 [examples, width] in base64',
  ),
  nearest: described(count, 'Neighbors of each example'),
  neighbors: described(
    v.string(),
    'Indices of the most similar examples by cosine, nearest first: int32 [examples, nearest] in base64, low byte first',
  ),
  layout: described(v.picklist(layouts), 'How the map is made'),
  points: described(
    v.string(),
    'Places on the map: float32 [examples, 2] in base64, low byte first',
  ),
});

/** Embedding of examples from features of a model: vectors, neighbors and a map. */
export type StoredEmbedding = v.InferOutput<typeof embeddingSchema>;

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
