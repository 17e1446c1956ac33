/** Largest difference of a worker's numbers from the driver's, relative to the largest of these. */
export const mostDifference = 1e-4;

/** How far numbers are apart, relative to the largest of the first; infinite where they do not match. */
export function differenceOf(expected: readonly number[], found: readonly number[]): number {
  const largest = Math.max(...expected.map(Math.abs), Number.MIN_VALUE);
  const far = Math.max(...expected.map((one, i) => Math.abs(one - (found[i] ?? Number.NaN))));
  return expected.length === found.length && Number.isFinite(far)
    ? far / largest
    : Number.POSITIVE_INFINITY;
}
