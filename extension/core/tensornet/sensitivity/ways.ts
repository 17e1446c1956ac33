import { outerNames } from '../../models/matrix-encoding';
import type { OuterPlace } from '../../models/matrix-encoding';
import { UserError } from '../../user-error';
import type { Compression } from '../compression-choice';
import type { MatrixSensitivity, SensitivityProfile } from './sensitivity-profile';
import { say } from '../../message';

/** A way to compress, whatever its level. */
export type Way = Pick<Compression, 'method' | 'variant' | 'then'>;

/** Tells ways apart: METHOD[:VARIANT][+THEN]. */
export function wayName({ method, variant, then }: Way): string {
  return [
    method,
    variant === undefined ? '' : `:${variant}`,
    then === undefined ? '' : `+${then}`,
  ].join('');
}

/** A table without what was measured of other ways. */
export function withWays(table: SensitivityProfile, ways: readonly Way[]): SensitivityProfile {
  const names = new Set(ways.map(wayName));
  const kept = <Matrix extends MatrixSensitivity>(matrix: Matrix): Matrix => ({
    ...matrix,
    entries: matrix.entries.filter((entry) => names.has(wayName(entry))),
  });
  const { layers, outer } = table;
  return {
    ...table,
    layers: layers.map(kept),
    ...(outer === undefined ? {} : { outer: outer.map(kept) }),
  };
}

/**
 * A table without the matrices outside the sublayers that are not named.
 * @throws UserError where one that is named has not been measured, or is one matrix with one that is not.
 */
export function withOuter(
  { outer = [], ...table }: SensitivityProfile,
  places: readonly OuterPlace[],
): SensitivityProfile {
  const placesOf = ({ place, tiedTo }: (typeof outer)[number]): readonly OuterPlace[] =>
    tiedTo === undefined ? [place] : ['embedding', 'head'];
  for (const place of places) {
    const found = outer.find((one) => placesOf(one).includes(place));
    if (found === undefined) {
      throw new UserError(say`The sensitivity profile does not include the ${outerNames[place]}.`, {
        field: 'outer',
        remedy: say`Profile the sensitivity again, with the ${outerNames[place]}.`,
      });
    }
    if (placesOf(found).some((one) => !places.includes(one))) {
      throw new UserError(say`Embedding and head are one matrix in this model.`, {
        field: place,
        remedy: say`Choose both, or neither.`,
      });
    }
  }
  const kept = outer.filter((one) => placesOf(one).every((place) => places.includes(place)));
  return kept.length === 0 ? table : { ...table, outer: kept };
}
