import { isDeepStrictEqual } from 'node:util';
import type { CalibrationSummary } from '../../data/calibration';
import { parseLayerProfile } from '../layer-profile-schema';
import type { LayerProfile } from '../layer-profile';
import type { SearchSettings } from '../options';
import type { FinishedSearch } from '../search';
import { readSmallText } from '../../regular-file';

/** Inputs that determine the result of a search. */
export interface SearchIdentity {
  readonly settings: SearchSettings;
  readonly modelFingerprint: string;
  readonly calibration: CalibrationSummary;
  /** Version of Espalier. */
  readonly version: string;
}

/**
 * Loads the search of the profile at `path` if it equals the one that `identity` asks to refine, so that it need not be
 * repeated. Undefined without a refinement, or if there is no such profile. Refined profiles are ignored, because they
 * don't include the cost of the search alone.
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
    !isDeepStrictEqual(searchIdentity(identity), searchIn(profile))
  ) {
    return undefined;
  }
  const { candidates, rounds, stability, search } = profile;
  return { candidates, rounds, search, ...(stability && { stability }) };
}

function searchIn({ settings, model, calibration, versions }: LayerProfile): unknown {
  return searchIdentity({
    settings,
    modelFingerprint: model.fingerprint,
    calibration,
    version: versions.espalier,
  });
}

/** Identity as stored in a document, without settings that act after the search. */
function searchIdentity({ settings, ...rest }: SearchIdentity): unknown {
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
