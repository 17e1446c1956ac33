import { embeddingAndHeadNames } from '../../models/matrix-encoding';
import type { EmbeddingOrHeadPlace } from '../../models/matrix-encoding';
import { UserError } from '../../user-error';
import type { Compression } from '../compression-choice';
import type { MatrixSensitivity, SensitivityProfile } from './sensitivity-profile';
import { say } from '../../message';

/** Compression method, variant and second quantizer, without the setting. */
export type CompressionScheme = Pick<Compression, 'method' | 'variant' | 'then'>;

/** Name of a scheme: METHOD[:VARIANT][+THEN]. */
export function schemeName({ method, variant, then }: CompressionScheme): string {
  return [
    method,
    variant === undefined ? '' : `:${variant}`,
    then === undefined ? '' : `+${then}`,
  ].join('');
}

/** Profile without entries of other schemes. */
export function withSchemes(
  table: SensitivityProfile,
  schemes: readonly CompressionScheme[],
): SensitivityProfile {
  const names = new Set(schemes.map(schemeName));
  const selected = <Matrix extends MatrixSensitivity>(matrix: Matrix): Matrix => ({
    ...matrix,
    entries: matrix.entries.filter((entry) => names.has(schemeName(entry))),
  });
  const { layers, embeddingAndHead } = table;
  return {
    ...table,
    layers: layers.map(selected),
    ...(embeddingAndHead === undefined ? {} : { embeddingAndHead: embeddingAndHead.map(selected) }),
  };
}

/**
 * Profile without the embedding or head unless named.
 * @throws UserError if a named one wasn't measured, or is tied to one that isn't named
 */
export function withEmbeddingAndHead(
  { embeddingAndHead = [], ...table }: SensitivityProfile,
  places: readonly EmbeddingOrHeadPlace[],
): SensitivityProfile {
  const tiedPlaces = ({
    place,
    tiedTo,
  }: (typeof embeddingAndHead)[number]): readonly EmbeddingOrHeadPlace[] =>
    tiedTo === undefined ? [place] : ['embedding', 'head'];
  for (const place of places) {
    const found = embeddingAndHead.find((one) => tiedPlaces(one).includes(place));
    if (found === undefined) {
      throw new UserError(
        'profile-embedding-missing',
        say`The sensitivity profile does not include the ${embeddingAndHeadNames[place]}.`,
        {
          field: 'embeddingAndHead',
          remedy: say`Profile the sensitivity again, with the ${embeddingAndHeadNames[place]}.`,
        },
      );
    }
    if (tiedPlaces(found).some((one) => !places.includes(one))) {
      throw new UserError('embeddings-tied', say`The embedding and head are tied in this model.`, {
        field: place,
        remedy: say`Choose both, or neither.`,
      });
    }
  }
  const selected = embeddingAndHead.filter((one) =>
    tiedPlaces(one).every((place) => places.includes(place)),
  );
  return selected.length === 0 ? table : { ...table, embeddingAndHead: selected };
}
