import type { LayeredModel } from '../models/layered-model';
import { outerNames } from '../models/matrix-encoding';
import type { OuterMatrix, OuterPlace } from '../models/matrix-encoding';
import { UserError } from '../user-error';
import { outerMethods } from './compression-choice';
import type { CompressionRequest } from './compression-choice';
import { compressionMethods } from './compression-methods';
import { say } from '../message';

/**
 * The matrices of a place that are stored dense.
 * @throws UserError where the model has none.
 */
export function denseOuter(model: LayeredModel, place: OuterPlace): OuterMatrix[] {
  const matrices = model.outerMatrices.filter((matrix) => matrix.place === place);
  const dense = matrices.filter(({ form }) => form === undefined);
  if (dense.length === 0) {
    const problem =
      matrices.length === 0
        ? say`The model has no ${outerNames[place]} that could be compressed.`
        : say`The ${outerNames[place]} is compressed already.`;
    throw new UserError(problem, {
      file: model.summary.path,
      field: place,
      remedy: say`Leave it out.`,
    });
  }
  return dense;
}

/**
 * What a request does to matrices outside the sublayers, which take whole numbers and are rounded
 * without calibration: its method, or what it has for layers that are left; undefined where neither can.
 */
export function outerRequest(request: CompressionRequest): CompressionRequest | undefined {
  const method = outerMethods.find((name) => name === request.method) ?? request.then;
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
 * The matrices of some places, each of which is changed alone; embedding and head that are one matrix
 * stand once, as the embedding, since in different forms both would be stored.
 * @throws UserError where a place has none, or one of such a pair is asked for alone.
 */
export function outerToMeasure(model: LayeredModel, places: readonly OuterPlace[]): OuterMatrix[] {
  const asked = places.flatMap((place) => denseOuter(model, place));
  const ids = new Set(asked.map(({ id }) => id));
  for (const { place, tiedTo } of asked) {
    if (tiedTo !== undefined && !ids.has(tiedTo)) {
      throw new UserError(
        say`Embedding and head are one matrix in this model, which is stored once.`,
        {
          file: model.summary.path,
          field: place,
          remedy: say`Choose both: compressed alike they stay one matrix, else both would be stored.`,
        },
      );
    }
  }
  return asked.filter((matrix) => !isTiedHead(matrix));
}

/** Its id, and that of the head where it is that as well. */
export function outerIds({ id, tiedTo }: Pick<OuterMatrix, 'id' | 'tiedTo'>): string[] {
  return tiedTo === undefined ? [id] : [id, tiedTo];
}

/** Whether it is stored as the embedding. */
export function isTiedHead({ place, tiedTo }: Pick<OuterMatrix, 'place' | 'tiedTo'>): boolean {
  return place === 'head' && tiedTo !== undefined;
}
