import type { Worth } from '../../protocol/explorer';
import { fileExists, profilePathOf, readProfile } from './documents';
import type { OpenModels } from './open-models';

/** What the profile beside a model says its sublayers are worth; undefined where there is none. */
export async function readWorth(
  model: string,
  models: Pick<OpenModels, 'summary'>,
): Promise<Worth | undefined> {
  const path = profilePathOf(model);
  if (!(await fileExists(path))) {
    return undefined;
  }
  try {
    const { candidates, settings, model: profiled } = await readProfile(path);
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
