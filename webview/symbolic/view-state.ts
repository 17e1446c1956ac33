import { object } from 'valibot';
import type { InferOutput } from 'valibot';
import { count, group, maybe, savedChoice } from '../kit/saved-view';
import { orders } from './population';

/** Saved view of the panel. */
export const savedView = group({
  /** Number of the population, from 0 on; the latest where undefined. */
  iteration: maybe(count()),
  order: savedChoice(orders, 'validation'),
  selected: maybe(object({ iteration: count(), model: count() })),
});

export type View = InferOutput<typeof savedView>;
