import { perplexityLabel } from '../core/quality-labels';
import { formatChange } from '../core/format';
import { inEnglish } from '../core/message';

/** `29.40 → 32.40 (+10 %, moderate)` */
export function describePerplexity(change: {
  readonly before: number;
  readonly after: number;
}): string {
  const { before, after } = change;
  const word = inEnglish(perplexityLabel(before, after));
  return `${before.toPrecision(4)} → ${after.toPrecision(4)} (${formatChange(before, after)}, ${word})`;
}
