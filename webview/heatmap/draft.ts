import type { HeatmapState } from '../../extension/protocol/heatmap';
import { expandSublayers, removedAfter } from './selection';
import type { Mark } from './types';

/** What the user wants of the selection. */
export type Choice =
  | { readonly type: 'selectRounds'; readonly rounds: number }
  | { readonly type: 'setMark'; readonly sublayer: string; readonly mark: Mark };

/** What is selected, and what it follows from. */
export type Selected = Pick<
  HeatmapState,
  | 'model'
  | 'profile'
  | 'selectedRounds'
  | 'removed'
  | 'protectedIds'
  | 'narrowed'
  | 'selectionEvaluation'
>;

/** The selection as it will be once the host has taken a choice. */
export function withChoice(selected: Selected, choice: Choice): Selected {
  if (choice.type === 'selectRounds') {
    const { model, profile, protectedIds, narrowed } = selected;
    const isWide = Object.keys(narrowed).length === 0;
    return {
      ...selected,
      selectedRounds: isWide ? choice.rounds : undefined,
      removed: removedAfter(profile?.rounds ?? [], choice.rounds, protectedIds, model),
      selectionEvaluation: isWide
        ? profile?.evaluations.find(({ rounds }) => rounds === choice.rounds)
        : undefined,
    };
  }
  const { sublayer, mark } = choice;
  const removed = expandSublayers(selected.removed, selected.model);
  const protectedIds = expandSublayers(selected.protectedIds, selected.model);
  const next = listed(removed, sublayer, mark, 'removed');
  const same = next.length === removed.length;
  return {
    ...selected,
    selectedRounds: same ? selected.selectedRounds : undefined,
    removed: next,
    protectedIds: listed(protectedIds, sublayer, mark, 'protected'),
    selectionEvaluation: same ? selected.selectionEvaluation : undefined,
  };
}

/** `ids` with `id` in it exactly when its mark is that of the list. */
function listed(ids: readonly string[], id: string, mark: Mark, list: Mark): readonly string[] {
  if (mark === list) return ids.includes(id) ? ids : [...ids, id];
  return ids.filter((one) => one !== id);
}
