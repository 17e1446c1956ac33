import { t } from './translate';

/**
 * Where a word begins: small, moderate, large; below is very small. On the sample model a distance `js` of 0.0026 was 2.4 %
 * more perplexity, and 0.029 was 10.2 %. KL is about four times as large as `js` where both are small.
 */
const js = [0.003, 0.03, 0.1] as const;
const distanceBounds: Readonly<Record<string, readonly number[]>> = {
  js,
  'js-reference': js,
  kl: js.map((bound) => 4 * bound),
};
/** From here on a distance `js` is moderate. */
export const [, moderateDistance] = js;

/** More perplexity, as a fraction. */
const perplexityBounds = [0.02, 0.1, 0.4];

const words = () => [t('very small'), t('small'), t('moderate'), t('large')] as const;

/** How much a distance is, in a word; undefined for metrics that have no scale of their own. */
export const distanceWord = (metric: string, distance: number): string | undefined => {
  const bounds = distanceBounds[metric];
  return bounds && wordOf(distance, bounds);
};

/** How much more perplexity is, in a word. */
export const perplexityWord = (original: number, changed: number): string =>
  changed <= original ? t('no loss') : wordOf(changed / original - 1, perplexityBounds);

const wordOf = (value: number, bounds: readonly number[]): string =>
  words()[bounds.filter((bound) => value >= bound).length] ?? '';
