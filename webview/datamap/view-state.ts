import { fallback, gtValue, ltValue, maxValue, minValue, number, pipe } from 'valibot';
import type { InferOutput } from 'valibot';
import { orders, policies } from '../../extension/protocol/datamap';
import type { ChosenSubset } from '../../extension/protocol/datamap';
import { count, countOr, flagOr, group, maybe, oneOf } from '../kit/saved-view';

/** How the user looks at the panel, and what is to be kept. */
export const savedView = group({
  /** What is looked at in the gallery. */
  query: group({
    order: oneOf(orders, 'hardest'),
    /** Number of a class. */
    label: maybe(count()),
    suspected: flagOr(false),
    marked: flagOr(false),
    page: countOr(0),
  }),
  /** What the controls of the choice say. */
  subset: group({
    keep: fallback(pipe(number(), gtValue(0), maxValue(1)), 0.5),
    policy: oneOf(policies, 'max'),
    /** Kept for when the policy is `window` again. */
    offset: fallback(pipe(number(), minValue(0), ltValue(1)), 0.1),
    balanced: flagOr(true),
    leaveOutMarked: flagOr(true),
  }),
});

export type View = InferOutput<typeof savedView>;
export type ShownQuery = View['query'];
export type SubsetForm = View['subset'];

/** What is asked of the host. A window never reaches beyond the last example. */
export function subsetOf(form: SubsetForm): ChosenSubset {
  const { keep, policy, balanced, leaveOutMarked } = form;
  return {
    request: {
      ...{ keep, policy, balanced, seed: 0 },
      ...(policy === 'window' ? { offset: Math.min(form.offset, mostOffset(form)) } : {}),
    },
    leaveOutMarked,
  };
}

/** The largest window, in whole percents of the examples. */
export const mostOffset = ({ keep }: SubsetForm): number => Math.round(100 * (1 - keep)) / 100;
