import type { HeatmapState } from '../../extension/protocol/heatmap';

/** Held-out perplexity of the dense model and of the selection, where they have been measured. */
export function perplexitiesOf(
  state: Pick<HeatmapState, 'profile' | 'selectedRounds' | 'selectionEvaluation' | 'removed'>,
): { dense: number | undefined; selected: number | undefined } {
  const after = (rounds: number | undefined) =>
    state.profile?.evaluations.find((one) => one.rounds === rounds)?.perplexity;
  const evaluated = state.selectionEvaluation?.perplexity;
  const dense = after(0) ?? (state.removed.length === 0 ? evaluated : undefined);
  return { dense, selected: evaluated ?? after(state.selectedRounds) };
}
