import type { InferOutput } from 'valibot';
import { countOr, flagOr, group, savedChoice, texts, textOr } from '../kit/saved-view';
import { everything, sortKeys } from './candidate-rows';
import { colorings } from './cells';
import { axes } from './curves/curves';
import { everyKind } from './kinds';

/** Saved view of the panel. */
export const savedView = group({
  gridScroll: countOr(0),
  sort: group({ key: savedChoice(sortKeys, 'sublayer'), descending: flagOr(false) }),
  filter: group({
    text: textOr(everything.text),
    kind: savedChoice(['all', ...everyKind], everything.kind),
    mark: savedChoice(['all', 'keep', 'removed', 'protected'], everything.mark),
  }),
  axis: savedChoice(axes, 'sublayers'),
  logarithmic: flagOr(true),
  /** Quantity shown as colors. */
  colors: savedChoice(colorings, 'importance'),
  /** Series of the chart that are switched off. */
  hiddenSeries: texts(),
});

export type View = InferOutput<typeof savedView>;
