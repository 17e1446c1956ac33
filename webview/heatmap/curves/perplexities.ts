import type { HeatmapState } from '../../../extension/protocol/heatmap';
import { isSameText } from '../../../extension/core/quality-labels';

/** Held-out perplexity of the original and of the selection, if measured. */
export function measuredPerplexities(
  state: Pick<HeatmapState, 'profile' | 'selectedRounds' | 'selectionEvaluation'>,
): {
  original: number | undefined;
  selected: number | undefined;
  /** Number of tokens, if fewer than in a full evaluation. */
  firstTokens: number | undefined;
} {
  const { profile, selectedRounds, selectionEvaluation } = state;
  const { evaluations = [] } = profile ?? {};
  const selected =
    selectionEvaluation ?? evaluations.find(({ rounds }) => rounds === selectedRounds);
  const original = [...evaluations, ...(selectedRounds === 0 ? [selected] : [])].find(
    (one) => one?.rounds === 0 && (selected === undefined || isSameText(one, selected)),
  );
  const { partial, tokens } = selected ?? original ?? {};
  const firstTokens = partial === true ? tokens : undefined;
  return { original: original?.perplexity, selected: selected?.perplexity, firstTokens };
}
