import { isDeepStrictEqual } from 'node:util';
import type { CalibrationSummary } from '../../data/calibration';
import { parseLayerProfile } from '../layer-profile-schema';
import type { LayerProfile } from '../layer-profile';
import type { SearchSettings } from '../options';
import type { FinishedSearch } from '../search';
import { readSmallText } from '../../regular-file';

/** What decides what a search finds. */
export interface SearchIdentity {
  readonly settings: SearchSettings;
  readonly modelFingerprint: string;
  readonly calibration: CalibrationSummary;
  /** Of Espalier. */
  readonly version: string;
}

/**
 * The search of the profile at `path`, where it is the one that `identity` asks to refine: then it need not be made
 * again. Undefined without a refinement, or where there is no such profile. A refined one doesn't count: it doesn't
 * say what its search alone took.
 */
export async function finishedSearch(
  path: string | undefined,
  identity: SearchIdentity,
): Promise<(FinishedSearch & Pick<LayerProfile, 'search'>) | undefined> {
  if (path === undefined || identity.settings.refine === undefined) {
    return undefined;
  }
  const profile = await profileAt(path);
  if (
    profile?.refinement !== undefined ||
    profile === undefined ||
    !isDeepStrictEqual(searchOf(identity), searchIn(profile))
  ) {
    return undefined;
  }
  const { candidates, rounds, stability, search } = profile;
  return { candidates, rounds, search, ...(stability && { stability }) };
}

function searchIn({ settings, model, calibration, versions }: LayerProfile): unknown {
  return searchOf({
    settings,
    modelFingerprint: model.fingerprint,
    calibration,
    version: versions.espalier,
  });
}

/** As a document would have it. What follows a search does not change it. */
function searchOf({ settings, ...rest }: SearchIdentity): unknown {
  const search = { ...rest, settings: { ...settings, refine: undefined, baselines: [] } };
  return JSON.parse(JSON.stringify(search));
}

async function profileAt(path: string): Promise<LayerProfile | undefined> {
  try {
    return parseLayerProfile(await readSmallText(path), path);
  } catch {
    return undefined;
  }
}
