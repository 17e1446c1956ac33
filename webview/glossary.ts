import { moderateDistance } from './change-size';
import { t } from './translate';

/** What terms mean, in a sentence, where a pointer rests on them. */
export const glossary = {
  distance: t(
    'How far the output is from the original’s when this is removed. The metric says how it is measured: see the legend. Below {0} (js) perplexity grew by about 10 % or less on the sample model.',
    String(moderateDistance),
  ),
  rank: t('Its place when all candidates are sorted by distance: 1 is the cheapest to remove.'),
  preview: t(
    'How much it turns the states that pass it, on a few tokens: a first guess, not the distance.',
  ),
  round: t(
    'The step of the search that removed it. Later steps measure on top of earlier removals.',
  ),
  flopsPerToken: t('Arithmetic that running one token takes: multiply-adds count as two.'),
  kvBytesPerToken: t(
    'Memory for keys and values that each token of context keeps while text is generated.',
  ),
  perplexity: t(
    'How surprised the model is by held-out text: lower is better. Compare it with the original’s on the same text.',
  ),
} as const;
