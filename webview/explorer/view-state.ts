import { string } from 'valibot';
import type { InferOutput } from 'valibot';
import { flagOr, group, maybe, savedChoice, textOr, texts } from '../kit/saved-view';

/** What colours of the diagram may show. */
export const colourings = ['importance', 'drift', 'values'] as const;

/** How the user looks at the panel. */
export const savedView = group({
  expanded: texts(),
  query: textOr(''),
  form: savedChoice(['table', 'diagram'], 'table'),
  /** Groups of the diagram that are open. */
  open: texts(),
  /** Row of the table. */
  selected: maybe(string()),
  /** What the diagram shows by its colours, where both are known. */
  colours: savedChoice(colourings, 'importance'),
  logarithmic: flagOr(false),
});

export type View = InferOutput<typeof savedView>;
