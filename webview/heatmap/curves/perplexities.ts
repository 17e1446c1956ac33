import type { HeatmapState } from '../../../extension/protocol/heatmap';

/** Held-out perplexity of the original and of the selection, where they have been measured. */
export function perplexitiesOf(
  state: Pick<HeatmapState, 'profile' | 'selectedRounds' | 'selectionEvaluation' | 'removed'>,
): { original: number | undefined; selected: number | undefined } {
  const after = (rounds: number | undefined) =>
    state.profile?.evaluations.find((one) => one.rounds === rounds)?.perplexity;
  const evaluated = state.selectionEvaluation?.perplexity;
  const original = after(0) ?? (state.removed.length === 0 ? evaluated : undefined);
  return { original, selected: evaluated ?? after(state.selectedRounds) };
}
