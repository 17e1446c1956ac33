import { l10n } from 'vscode';
import type { Drift } from '../../core/evaluate/drift';

/** Drift of the sublayers that a written model still has, by its own ids. */
export function useOwnIds(drift: Drift): Drift {
  const { starts, sublayers } = drift;
  const place = sublayers.find(({ sublayer }) => sublayer === starts)?.place;
  return {
    ...drift,
    ...(starts === undefined ? {} : { starts: place ?? l10n.t('{0} of the original', starts) }),
    sublayers: sublayers.flatMap((one) =>
      one.place === undefined ? [] : [{ ...one, sublayer: one.place }],
    ),
  };
}
