import { say } from './message';
import type { Message } from './message';
import type { ModelSummary } from './models/model-summary';

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
const perplexityBounds = [0.02, 0.1, 0.4] as const;

const words = [say`very small`, say`small`, say`moderate`, say`large`] as const;

/** How much a distance is, in a word; undefined for metrics that have no scale of their own. */
export const distanceLabel = (metric: string, distance: number): Message | undefined => {
  const bounds = distanceBounds[metric];
  return bounds && labelOf(distance, bounds);
};

/** How much more perplexity is, in a word. */
export const perplexityLabel = (original: number, changed: number): Message =>
  changed <= original ? say`no loss` : labelOf(changed / original - 1, perplexityBounds);

/** True if a distance is a small loss or less; false if its metric has no scale. */
export const isSmallDistance = (metric: string, distance: number): boolean =>
  distance < (distanceBounds[metric]?.[1] ?? Number.NEGATIVE_INFINITY);

/** True if a perplexity is a small loss or less. */
export const isSmallPerplexity = (original: number, changed: number): boolean =>
  changed / original - 1 < perplexityBounds[1];

const labelOf = (value: number, [low = 0, middle = 0, high = 0]: readonly number[]): Message =>
  words[value < low ? 0 : value < middle ? 1 : value < high ? 2 : 3];

interface Measured {
  /** Path of the text, or the name of the bundled one. */
  readonly text: string;
  readonly tokens: number;
}

/** Whether perplexities were measured on the same, and can be compared. */
export const isSameText = (a: Measured, b: Measured): boolean =>
  a.text === b.text && a.tokens === b.tokens;

/** Tokens of context that memory is told for, where a model reads as many. */
export const defaultContext = 4096;

/** Tokens of context that a model's memory is told for. */
export const memoryContext = ({
  maxPositions = defaultContext,
}: Pick<ModelSummary, 'maxPositions'>): number => Math.min(defaultContext, maxPositions);
