import type { HeatmapRestore, HeatmapState } from '../../extension/protocol/heatmap';
import { countOr, fields, oneOf, texts } from '../saved-view';
import type { Axis } from './curves';
import { axes } from './curves';
import type { Filter, Sort } from './candidate-rows';
import { everything, sortKeys } from './candidate-rows';
import { everyKind } from './kinds';

/** How the user looks at the panel: kept over reloads, of no meaning to the host. */
export interface View {
  readonly scrollTop: number;
  readonly gridScroll: number;
  readonly sort: Sort;
  readonly filter: Filter;
  readonly axis: Axis;
  readonly logarithmic: boolean;
  /** Series of the chart that are switched off. */
  readonly hiddenSeries: readonly string[];
}

export const initialView: View = {
  scrollTop: 0,
  gridScroll: 0,
  sort: { key: 'sublayer', descending: false },
  filter: everything,
  axis: 'sublayers',
  logarithmic: true,
  hiddenSeries: [],
};

/** What is given to `setState`. */
export interface SavedState extends HeatmapRestore {
  readonly view: View;
}

export function savedState(state: HeatmapState, view: View): SavedState {
  return {
    model: state.model.path,
    ...(state.profileFile === undefined ? {} : { profileFile: state.profileFile }),
    ...(state.selectedRounds === undefined ? {} : { selectedRounds: state.selectedRounds }),
    removed: state.removed,
    protectedIds: state.protectedIds,
    view,
  };
}

/** The view of an earlier `setState`, perhaps by another version: what does not fit falls back. */
export function viewFrom(saved: unknown): View {
  const view = fields(fields(saved)['view']);
  const sort = fields(view['sort']);
  const filter = fields(view['filter']);
  const hidden = view['hiddenSeries'];
  return {
    scrollTop: countOr(view['scrollTop'], initialView.scrollTop),
    gridScroll: countOr(view['gridScroll'], initialView.gridScroll),
    sort: {
      key: oneOf(sortKeys, sort['key'], initialView.sort.key),
      descending: sort['descending'] === true,
    },
    filter: {
      text: typeof filter['text'] === 'string' ? filter['text'] : everything.text,
      kind: oneOf(['all', ...everyKind], filter['kind'], everything.kind),
      mark: oneOf(['all', 'keep', 'removed', 'protected'], filter['mark'], everything.mark),
    },
    axis: oneOf(axes, view['axis'], initialView.axis),
    logarithmic: view['logarithmic'] !== false,
    hiddenSeries: texts(hidden),
  };
}
