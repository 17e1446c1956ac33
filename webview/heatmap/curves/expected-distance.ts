import type { HeatmapState } from '../../../extension/protocol/heatmap';
import { expandSublayers, sublayersOf } from '../selection';
import { isZeroAtOriginal } from './curves';

type Known = Pick<HeatmapState, 'model' | 'profile' | 'removed' | 'widthPruned' | 'candidates'>;

/**
 * The distance expected of a selection that was not measured. What removals cost alone nearly adds up, and how
 * nearly is told by the round of the search that has most in common with the selection (Jaccard index): its distance
 * over its own sum, to the power of that index, times the sum over the selection (bench/finercut/NOTES.md). Undefined
 * where it is not known what a removal costs alone, and of a selection that prunes widths.
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
  // What one removal costs alone is known.
  const trust = chosen.size === 1 && likeness < 1 ? 0 : likeness;
  const expected = proportion ** trust * [...chosen].reduce((total, id) => total + alone(id), 0);
  return Number.isFinite(expected) ? expected : undefined;
}

/** The candidates that the selection consists of; undefined where it is none, or holds parts of some. */
function chosenCandidates({ model, removed, candidates }: Known): ReadonlySet<string> | undefined {
  const gone = new Set(expandSublayers(removed, model));
  const chosen = Object.keys(candidates).filter((id) =>
    sublayersOf(id, model).every((one) => gone.has(one)),
  );
  const covered = expandSublayers(chosen, model);
  return covered.length > 0 && covered.length === gone.size ? new Set(chosen) : undefined;
}
