import type { Importance } from '../../protocol/explorer';
import { fileExists, profilePathOf } from './documents';
import type { Documents } from './documents';
import type { OpenModels } from './open-models';

/** The importance of sublayers, from the profile beside a model; undefined where there is none. */
export async function readImportance(
  model: string,
  models: Pick<OpenModels, 'summary'>,
  documents: Documents,
): Promise<Importance | undefined> {
  const path = profilePathOf(model);
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
    // A damaged profile is told of where it is opened; the structure is there without it.
    return undefined;
  }
}
