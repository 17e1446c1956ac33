import type { HeatmapState } from '../../extension/protocol/heatmap';
import { noMarks, removedIds, withMark } from '../../extension/protocol/marks';
import { expandSublayers, removedByRounds } from './selection';
import type { Mark } from './types';

/** A change of the selection. */
export type Choice =
  | { readonly type: 'selectRounds'; readonly rounds: number }
  | { readonly type: 'setMark'; readonly sublayer: string; readonly mark: Mark }
  | { readonly type: 'clearMarks' | 'undo' | 'redo' };

/** The selection, and the state it follows from. */
export type Selected = Pick<
  HeatmapState,
  | 'model'
  | 'profile'
  | 'selectedRounds'
  | 'slider'
  | 'byHand'
  | 'removed'
  | 'protectedIds'
  | 'widthPruned'
  | 'selectionEvaluation'
>;

/** The selection as it will be once the host has taken a choice. Only the host knows what Undo brings back. */
export function withChoice(selected: Selected, choice: Choice): Selected {
  switch (choice.type) {
    case 'selectRounds':
      return withSlider(selected, choice.rounds);
    case 'clearMarks':
      return withSlider({ ...selected, byHand: noMarks, protectedIds: [] }, selected.slider);
    case 'setMark':
      return withHandMark(selected, choice.sublayer, choice.mark);
    case 'undo':
    case 'redo':
      return selected;
  }
}

function withSlider(selected: Selected, rounds: number): Selected {
  const { model, profile, protectedIds, widthPruned, byHand } = selected;
  const isSearchResult =
    byHand.removed.length + byHand.kept.length + Object.keys(widthPruned).length === 0;
  const byRounds = removedByRounds(profile?.rounds ?? [], rounds, model);
  return {
    ...selected,
    slider: rounds,
    selectedRounds: isSearchResult ? rounds : undefined,
    removed: removedIds(byRounds, byHand, expandSublayers(protectedIds, model)),
    selectionEvaluation: isSearchResult
      ? profile?.evaluations.find((one) => one.rounds === rounds)
      : undefined,
  };
}

function withHandMark(selected: Selected, sublayer: string, mark: Mark): Selected {
  const { model, profile, slider } = selected;
  const others = expandSublayers(selected.protectedIds, model).filter((id) => id !== sublayer);
  const protectedIds = mark === 'protected' ? [...others, sublayer] : others;
  const byRounds = removedByRounds(profile?.rounds ?? [], slider, model);
  const byHand = withMark(selected.byHand, sublayer, mark, byRounds);
  const removed = removedIds(byRounds, byHand, protectedIds);
  const isSame = removed.join() === selected.removed.join();
  return {
    ...{ ...selected, protectedIds, byHand, removed },
    selectedRounds: isSame ? selected.selectedRounds : undefined,
    selectionEvaluation: isSame ? selected.selectionEvaluation : undefined,
  };
}
