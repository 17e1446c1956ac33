import { string } from 'valibot';
import type { InferOutput } from 'valibot';
import { countOr, flagOr, group, maybe, oneOf, texts } from '../kit/saved-view';
import { budgetUnits, initialForm } from './budget';
import { sortKeys } from './sort-keys';

/** How the user looks at the panel, and what is asked of a plan. */
export const savedView = group({
  /** Key of the way that is shown, `plan`, or undefined for the first. */
  shown: maybe(string()),
  /** Percent of the bytes at which layers are shown. */
  share: countOr(40),
  sort: group({ key: oneOf(sortKeys, 'loss'), descending: flagOr(true) }),
  form: group({
    unit: oneOf(budgetUnits, initialForm.unit),
    percent: countOr(initialForm.percent),
    without: texts(),
    removes: flagOr(initialForm.removes),
    outer: flagOr(initialForm.outer),
  }),
});

export type View = InferOutput<typeof savedView>;
