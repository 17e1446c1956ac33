import type { HeatmapState } from '../../../extension/protocol/heatmap';
import { expandSublayers, candidateSublayers } from '../selection';
import { isZeroAtOriginal } from './curves';

type Known = Pick<HeatmapState, 'model' | 'profile' | 'removed' | 'widthPruned' | 'candidates'>;

/**
 * Expected distance of a selection that was not measured. The costs of single removals nearly add up. The deviation is
 * estimated from the search round most similar to the selection (Jaccard index): its distance over its own sum, to the
 * power of that index, times the sum over the selection (bench/finercut/NOTES.md). Undefined if a removal's own cost is
 * unknown, and for selections with width pruning.
 */
export function expectedDistance(known: Known): number | undefined {
  const { profile, widthPruned, candidates } = known;
  const chosen = chosenCandidates(known);
  if (
    profile === undefined ||
    chosen === undefined ||
    Object.keys(widthPruned).length > 0 ||
    !isZeroAtOriginal(profile)
  ) {
    return undefined;
  }
  const alone = (id: string): number => candidates[id]?.distance ?? Number.NaN;
  let [likeness, proportion] = [0, 1];
  let [common, sum] = [0, 0];
  for (const [before, { removed, distance }] of profile.rounds.entries()) {
    common += chosen.has(removed) ? 1 : 0;
    sum += alone(removed);
    const alike = common / (before + 1 + chosen.size - common);
    if (alike > likeness && sum > 0 && Number.isFinite(distance)) {
      [likeness, proportion] = [alike, distance / sum];
    }
  }
  // The cost of a single removal is known.
  const trust = chosen.size === 1 && likeness < 1 ? 0 : likeness;
  const expected = proportion ** trust * [...chosen].reduce((total, id) => total + alone(id), 0);
  return Number.isFinite(expected) ? expected : undefined;
}

/** Candidates that make up the selection; undefined if there are none, or only parts of some are selected. */
function chosenCandidates({ model, removed, candidates }: Known): ReadonlySet<string> | undefined {
  const removedIds = new Set(expandSublayers(removed, model));
  const chosen = Object.keys(candidates).filter((id) =>
    candidateSublayers(id, model).every((one) => removedIds.has(one)),
  );
  const covered = expandSublayers(chosen, model);
  return covered.length > 0 && covered.length === removedIds.size ? new Set(chosen) : undefined;
}
