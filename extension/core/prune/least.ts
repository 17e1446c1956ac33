/** Compares values, what is no number as the greatest. */
function compare(a: number, b: number): number {
  const [x, y] = [a, b].map((one) => (Number.isNaN(one) ? Number.POSITIVE_INFINITY : one));
  return x === y ? 0 : (x ?? 0) < (y ?? 0) ? -1 : 1;
}

/** The item of least value, what is no number counting as the greatest; of equal ones the first. */
export function least<T>(items: readonly T[], value: (item: T) => number): T | undefined {
  return items.reduce<T | undefined>(
    (best, item) => (best === undefined || compare(value(item), value(best)) < 0 ? item : best),
    undefined,
  );
}

/** Items from the least value to the greatest, what is no number behind them. */
export const leastFirst = <T>(items: readonly T[], value: (item: T) => number): T[] =>
  [...items].sort((a, b) => compare(value(a), value(b)));
