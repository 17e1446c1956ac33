import { string } from 'valibot';
import type { InferOutput } from 'valibot';
import { flagOr, group, maybe, savedChoice, textOr, texts } from '../kit/saved-view';

/** Quantities that the diagram can show as colors. */
export const colorings = ['importance', 'drift', 'values'] as const;

/** Saved view of the panel. */
export const savedView = group({
  expanded: texts(),
  query: textOr(''),
  form: savedChoice(['table', 'diagram'], 'table'),
  /** Groups of the diagram that are open. */
  open: texts(),
  /** Row of the table. */
  selected: maybe(string()),
  /** Quantity shown as colors, if both are known. */
  colors: savedChoice(colorings, 'importance'),
  logarithmic: flagOr(false),
});

export type View = InferOutput<typeof savedView>;
