import type { LayeredModel } from '../models/layered-model';
import { embeddingAndHeadNames } from '../models/matrix-encoding';
import type { EmbeddingOrHead, EmbeddingOrHeadPlace } from '../models/matrix-encoding';
import { UserError } from '../user-error';
import { embeddingMethods } from './compression-choice';
import type { CompressionRequest } from './compression-choice';
import { compressionMethods } from './compression-methods';
import { say } from '../message';

/**
 * Dense matrices of the embedding or the head.
 * @throws UserError if the model has none
 */
export function denseEmbeddingOrHead(
  model: LayeredModel,
  place: EmbeddingOrHeadPlace,
): EmbeddingOrHead[] {
  const matrices = model.embeddingAndHeadMatrices.filter((matrix) => matrix.place === place);
  const dense = matrices.filter(({ encoding }) => encoding === undefined);
  if (dense.length === 0) {
    const problem =
      matrices.length === 0
        ? say`The model has no ${embeddingAndHeadNames[place]} that could be compressed.`
        : say`The ${embeddingAndHeadNames[place]} is compressed already.`;
    throw new UserError(
      matrices.length === 0 ? 'embedding-missing' : 'embedding-compressed-already',
      problem,
      { file: model.summary.path, field: place, remedy: say`Leave it out.` },
    );
  }
  return dense;
}

/**
 * Part of a request that applies to embedding and head, which are quantized to integers without calibration: its
 * method, or its second quantizer; undefined if neither is supported.
 */
export function embeddingRequest(request: CompressionRequest): CompressionRequest | undefined {
  const method = embeddingMethods.find((name) => name === request.method) ?? request.then;
  if (method === undefined) {
    return undefined;
  }
  if (method !== request.method) {
    return { method };
  }
  const { variant, ...rest } = request;
  const isKept = variant !== undefined && !compressionMethods[method].needsCalibration(variant);
  return isKept ? { ...rest, variant } : rest;
}

/**
 * Matrices of the given places, each changed separately. Tied embeddings appear once, as the embedding,
 * since different encodings would have to be stored twice.
 * @throws UserError if a place has none, or only one of tied embeddings is selected
 */
export function embeddingsToMeasure(
  model: LayeredModel,
  places: readonly EmbeddingOrHeadPlace[],
): EmbeddingOrHead[] {
  const asked = places.flatMap((place) => denseEmbeddingOrHead(model, place));
  const ids = new Set(asked.map(({ id }) => id));
  for (const { place, tiedTo } of asked) {
    if (tiedTo !== undefined && !ids.has(tiedTo)) {
      throw new UserError(
        'embeddings-tied',
        say`The embedding and head are tied in this model, and stored once.`,
        {
          file: model.summary.path,
          field: place,
          remedy: say`Choose both. Compressed in the same way, they remain one matrix; otherwise both are stored.`,
        },
      );
    }
  }
  return asked.filter((matrix) => !isTiedHead(matrix));
}

/** Id of the matrix, and of its tied head. */
export function tiedIds({ id, tiedTo }: Pick<EmbeddingOrHead, 'id' | 'tiedTo'>): string[] {
  return tiedTo === undefined ? [id] : [id, tiedTo];
}

/** True if the head is stored as the embedding. */
export function isTiedHead({ place, tiedTo }: Pick<EmbeddingOrHead, 'place' | 'tiedTo'>): boolean {
  return place === 'head' && tiedTo !== undefined;
}
