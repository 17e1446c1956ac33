import { embeddingAndHeadNames } from '../../models/matrix-encoding';
import type { EmbeddingOrHeadPlace } from '../../models/matrix-encoding';
import { UserError } from '../../user-error';
import type { Compression } from '../compression-choice';
import type { MatrixSensitivity, SensitivityProfile } from './sensitivity-profile';
import { say } from '../../message';

/** Way to compress, regardless of the level. */
export type Way = Pick<Compression, 'method' | 'variant' | 'then'>;

/** Name of a way: METHOD[:VARIANT][+THEN]. */
export function wayName({ method, variant, then }: Way): string {
  return [
    method,
    variant === undefined ? '' : `:${variant}`,
    then === undefined ? '' : `+${then}`,
  ].join('');
}

/** Profile without entries of other ways. */
export function withWays(table: SensitivityProfile, ways: readonly Way[]): SensitivityProfile {
  const names = new Set(ways.map(wayName));
  const selected = <Matrix extends MatrixSensitivity>(matrix: Matrix): Matrix => ({
    ...matrix,
    entries: matrix.entries.filter((entry) => names.has(wayName(entry))),
  });
  const { layers, outer } = table;
  return {
    ...table,
    layers: layers.map(selected),
    ...(outer === undefined ? {} : { outer: outer.map(selected) }),
  };
}

/**
 * Profile without the embedding or head unless named.
 * @throws UserError if a named one wasn't measured, or is tied to one that isn't named
 */
export function withOuter(
  { outer = [], ...table }: SensitivityProfile,
  places: readonly EmbeddingOrHeadPlace[],
): SensitivityProfile {
  const tiedPlaces = ({ place, tiedTo }: (typeof outer)[number]): readonly EmbeddingOrHeadPlace[] =>
    tiedTo === undefined ? [place] : ['embedding', 'head'];
  for (const place of places) {
    const found = outer.find((one) => tiedPlaces(one).includes(place));
    if (found === undefined) {
      throw new UserError(
        say`The sensitivity profile does not include the ${embeddingAndHeadNames[place]}.`,
        {
          field: 'outer',
          remedy: say`Profile the sensitivity again, with the ${embeddingAndHeadNames[place]}.`,
        },
      );
    }
    if (tiedPlaces(found).some((one) => !places.includes(one))) {
      throw new UserError(say`The embedding and head are tied in this model.`, {
        field: place,
        remedy: say`Choose both, or neither.`,
      });
    }
  }
  const selected = outer.filter((one) => tiedPlaces(one).every((place) => places.includes(place)));
  return selected.length === 0 ? table : { ...table, outer: selected };
}
