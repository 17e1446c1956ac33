import type { Importance } from '../../protocol/explorer';
import { fileExists, defaultProfilePath } from './documents';
import type { Documents } from './documents';
import type { OpenModels } from './open-models';

/** Importance of sublayers, from the profile next to a model; undefined if there is none. */
export async function readImportance(
  model: string,
  models: Pick<OpenModels, 'summary'>,
  documents: Documents,
): Promise<Importance | undefined> {
  const path = defaultProfilePath(model);
  if (!(await fileExists(path))) {
    return undefined;
  }
  try {
    const { candidates, settings, model: profiled } = await documents.read('layerProfile', path);
    const { fingerprint } = await models.summary(model);
    return {
      metric: settings.metric,
      sublayers: candidates.flatMap(({ sublayer: id, distance, atLeast }) => {
        const value = distance ?? atLeast;
        return value === undefined ? [] : [{ id, distance: value, isBound: distance === null }];
      }),
      stale: profiled.fingerprint !== fingerprint,
    };
  } catch {
    // Errors in a profile are shown when it is opened. The structure doesn't need it.
    return undefined;
  }
}
