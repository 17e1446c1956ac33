import type { Totals } from './model-description';

export function sum<T>(items: Iterable<T>, value: (item: T) => number): number {
  let total = 0;
  for (const item of items) {
    total += value(item);
  }
  return total;
}

/** Sum, or undefined if one of the values is unknown. */
export function sumKnown<T>(
  items: Iterable<T>,
  value: (item: T) => number | undefined,
): number | undefined {
  let total = 0;
  for (const item of items) {
    const one = value(item);
    if (one === undefined) {
      return undefined;
    }
    total += one;
  }
  return total;
}

export function sumTotals(items: readonly Totals[]): Totals {
  return {
    parameters: sum(items, ({ parameters }) => parameters),
    bytes: sum(items, ({ bytes }) => bytes),
  };
}
