import { shownProfile, shownRound } from '../../core/prune/layer-profile';
import type {
  CandidateDistance,
  LayerProfile,
  ProfileEvent,
  Round,
} from '../../core/prune/layer-profile';
import type { ProfileState } from '../../protocol/heatmap';

/** Panel state of a finished profile. */
export function createProfileState(whole: LayerProfile): ProfileState {
  const profile = shownProfile(whole);
  const { seconds, sublayerEvaluations, naiveSublayerEvaluations } = profile.search;
  return {
    settings: profile.settings,
    metricDefinition: profile.metricDefinition,
    calibration: profile.calibration,
    ...(profile.stability === undefined ? {} : { stability: profile.stability }),
    candidates: profile.candidates,
    cosineLocal: profile.cosineLocal,
    rounds: profile.rounds,
    baselines: profile.baselines,
    evaluations: profile.evaluations,
    device: profile.search.device,
    search: { seconds, sublayerEvaluations, naiveSublayerEvaluations },
  };
}

/**
 * Applies an event of a running search to a profile. A resumed search repeats the events in its journal, so every event
 * may come twice; until then, the known values remain.
 */
export function reduceProfile(
  profile: ProfileState | undefined,
  event: ProfileEvent,
): ProfileState | undefined {
  if (event.kind === 'started') {
    if (profile !== undefined && isSameSearch(profile, event)) {
      return { ...profile, device: event.device };
    }
    return {
      settings: event.settings,
      metricDefinition: event.metricDefinition,
      calibration: event.calibration,
      candidates: event.candidates.map((sublayer) => ({ sublayer, distance: null })),
      cosineLocal: [],
      rounds: [],
      baselines: {},
      evaluations: [],
      device: event.device,
    };
  }
  if (profile === undefined) {
    return undefined;
  }
  switch (event.kind) {
    case 'cosine-local':
      return { ...profile, cosineLocal: event.distances };
    case 'candidate':
      return event.round === 1
        ? { ...profile, candidates: replaceCandidate(profile.candidates, event.distance) }
        : profile;
    case 'round':
      return {
        ...profile,
        rounds: withRound(profile.rounds, event.round, shownRound(event.result)),
      };
    case 'baseline':
      return { ...profile, baselines: { ...profile.baselines, [event.name]: event.rounds } };
  }
}

/** True if an unfinished profile shows earlier rounds of the search that starts. */
function isSameSearch(
  { search, settings, calibration, candidates }: ProfileState,
  event: Extract<ProfileEvent, { kind: 'started' }>,
): boolean {
  return (
    search === undefined &&
    calibration.fingerprint === event.calibration.fingerprint &&
    JSON.stringify(settings) === JSON.stringify(event.settings) &&
    candidates.map(({ sublayer }) => sublayer).join() === event.candidates.join()
  );
}

/** The rounds, with one added or replaced. Later rounds remain. */
function withRound(rounds: readonly Round[], round: number, result: Round): readonly Round[] {
  const isKnown = rounds[round - 1]?.removed === result.removed;
  return [...rounds.slice(0, round - 1), result, ...(isKnown ? rounds.slice(round) : [])];
}

function replaceCandidate(
  candidates: readonly CandidateDistance[],
  distance: CandidateDistance,
): readonly CandidateDistance[] {
  return candidates.map((known) => (known.sublayer === distance.sublayer ? distance : known));
}
