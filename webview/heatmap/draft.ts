import type { FromHeatmap, HeatmapState } from '../../extension/protocol/heatmap';
import { expandSublayers, removedAfter } from './selection';
import type { Mark } from './types';

/** A message to the host that changes the selection. */
export type Choice = Extract<FromHeatmap, { type: 'selectRounds' | 'setMark' }>;

/**
 * The state as it will be once the host has answered a choice, so that cells and totals follow the
 * pointer at once even when the host is far away. What the host says next replaces it.
 */
export function withChoice(state: HeatmapState, choice: Choice): HeatmapState {
  if (choice.type === 'selectRounds') {
    const { model, profile, protectedIds } = state;
    return {
      ...state,
      selectedRounds: choice.rounds,
      removed: removedAfter(profile?.rounds ?? [], choice.rounds, protectedIds, model),
      selectionEvaluation: profile?.evaluations.find(({ rounds }) => rounds === choice.rounds),
    };
  }
  const { sublayer, mark } = choice;
  const removed = expandSublayers(state.removed, state.model);
  const protectedIds = expandSublayers(state.protectedIds, state.model);
  const next = listed(removed, sublayer, mark, 'removed');
  const same = next.length === removed.length;
  return {
    ...state,
    selectedRounds: same ? state.selectedRounds : undefined,
    removed: next,
    protectedIds: listed(protectedIds, sublayer, mark, 'protected'),
    selectionEvaluation: same ? state.selectionEvaluation : undefined,
  };
}

/** `ids` with `id` in it exactly when its mark is that of the list. */
function listed(ids: readonly string[], id: string, mark: Mark, list: Mark): readonly string[] {
  if (mark === list) return ids.includes(id) ? ids : [...ids, id];
  return ids.filter((one) => one !== id);
}
