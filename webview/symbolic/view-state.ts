import type { SymbolicRestore } from '../../extension/protocol/symbolic';
import { countOr, fields, isCount, oneOf } from '../saved-view';
import { orders } from './population';
import type { Order } from './population';
import type { Place } from './types';

/** How the user looks at the panel: remembered over reloads. */
export interface View {
  /** Number of the population, from 0 on; the latest where undefined. */
  readonly iteration: number | undefined;
  readonly order: Order;
  readonly selected?: Place;
  readonly scrollTop: number;
}

const initialView: View = { iteration: undefined, order: 'validation', scrollTop: 0 };

/** What is given to `setState`. */
export type SavedState = SymbolicRestore & { readonly view: View };

/** The view of an earlier `setState`, perhaps by another version: what does not fit falls back. */
export function viewFrom(saved: unknown): View {
  const view = fields(fields(saved)['view']);
  const { iteration, model } = fields(view['selected']);
  return {
    iteration: isCount(view['iteration']) ? view['iteration'] : undefined,
    order: oneOf(orders, view['order'], initialView.order),
    ...(isCount(iteration) && isCount(model) ? { selected: { iteration, model } } : {}),
    scrollTop: countOr(view['scrollTop'], initialView.scrollTop),
  };
}
