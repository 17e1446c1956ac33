/** Compares values; NaN counts as the greatest. */
function compare(a: number, b: number): number {
  const [x, y] = [a, b].map((one) => (Number.isNaN(one) ? Number.POSITIVE_INFINITY : one));
  return x === y ? 0 : (x ?? 0) < (y ?? 0) ? -1 : 1;
}

/** Item with the lowest value; the first one for ties. NaN counts as the greatest. */
export function least<T>(items: readonly T[], value: (item: T) => number): T | undefined {
  return items.reduce<T | undefined>(
    (best, item) => (best === undefined || compare(value(item), value(best)) < 0 ? item : best),
    undefined,
  );
}

/** Items sorted by ascending value; NaN last. */
export const leastFirst = <T>(items: readonly T[], value: (item: T) => number): T[] =>
  [...items].sort((a, b) => compare(value(a), value(b)));
