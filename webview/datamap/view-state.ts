import {
  array,
  fallback,
  gtValue,
  ltValue,
  maxValue,
  minValue,
  number,
  picklist,
  pipe,
} from 'valibot';
import type { InferOutput } from 'valibot';
import { issueKinds, orders, policies, similarities } from '../../extension/protocol/datamap';
import type { ChosenSubset } from '../../extension/protocol/datamap';
import { count, countOr, flagOr, group, maybe, savedChoice, textOr } from '../kit/saved-view';

const oneKind = picklist(issueKinds);

/** Saved view of the panel, with the selection of the subset. */
export const savedView = group({
  /** Query of the gallery. */
  query: group({
    order: savedChoice(orders, 'hardest'),
    /** Number of a class. */
    label: maybe(count()),
    /** Number of the class that is predicted. */
    predicted: maybe(count()),
    issue: maybe(oneKind),
    search: textOr(''),
    /** The example that others are similar to. */
    similarTo: maybe(count()),
    marked: flagOr(false),
    relabeled: flagOr(false),
    page: countOr(0),
  }),
  /** Cosine from which on examples are duplicates. */
  similarity: fallback(
    pipe(number(), minValue(similarities.least), maxValue(similarities.most)),
    similarities.default,
  ),
  /** Selected map, and the coloring of its points. */
  map: group({
    shown: savedChoice(['dynamics', 'embedding'], 'dynamics'),
    color: savedChoice(['label', 'score', 'issue'], 'label'),
  }),
  /** State of the selection form. */
  subset: group({
    keep: fallback(pipe(number(), gtValue(0), maxValue(1)), 0.5),
    policy: savedChoice(policies, 'max'),
    /** Kept for when the policy is `window` again. */
    offset: fallback(pipe(number(), minValue(0), ltValue(1)), 0.1),
    balanced: flagOr(true),
    leaveOutMarked: flagOr(true),
    without: fallback(array(picklist(issueKinds)), []),
  }),
});

export type View = InferOutput<typeof savedView>;
export type ShownQuery = View['query'];
export type SubsetForm = View['subset'];

/** Selection to request from the host. A window ends at the last example at the latest. */
export function chosenSubset(form: SubsetForm, similarity: number): ChosenSubset {
  const { keep, policy, balanced, leaveOutMarked, without } = form;
  return {
    request: {
      ...{ keep, policy, balanced, seed: 0 },
      ...(policy === 'window' ? { offset: Math.min(form.offset, mostOffset(form)) } : {}),
    },
    leaveOutMarked,
    without,
    similarity,
  };
}

/** The largest window, in whole percents of the examples. */
export const mostOffset = ({ keep }: SubsetForm): number => Math.round(100 * (1 - keep)) / 100;
