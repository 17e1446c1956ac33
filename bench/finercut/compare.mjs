/** Distances closer than this, relatively, may change places by rounding. */
const nearTie = 1e-4;

/**
 * Sentence about the agreement of two searches; `same` is also true if they diverge at a near tie.
 * @param {import('./contenders.mjs').Result} result
 * @param {import('./contenders.mjs').Result} reference has every distance of every round
 * @param {number} [tolerance] relative tolerance of the distances; without it they are only printed
 * @returns {{same: boolean, text: string}}
 */
export function compare(result, reference, tolerance = Number.POSITIVE_INFINITY) {
  let largest = 0;
  for (const [i, expected] of reference.rounds.entries()) {
    const found = result.rounds[i];
    if (found === undefined) return { same: false, text: `ends after round ${i}` };
    if (found.removed !== expected.removed) {
      const other = expected.distances.get(found.removed) ?? Number.POSITIVE_INFINITY;
      const gap = difference(other, expected.distance);
      const text = `round ${i + 1} removes ${found.removed}, not ${expected.removed}`;
      return gap < nearTie
        ? { same: true, text: `same order up to a near tie (${gap.toExponential(0)}): ${text}` }
        : { same: false, text: `other order: ${text}` };
    }
    largest = Math.max(largest, difference(found.distance, expected.distance));
  }
  const text = `same order; distances differ by ${largest.toExponential(0)} at most`;
  return { same: largest <= tolerance, text };
}

/**
 * Sentence about the removals that an estimating search and an exact one share.
 * @param {import('./contenders.mjs').Result} result
 * @param {import('./contenders.mjs').Result} exact
 */
export function common(result, exact) {
  const wanted = new Set(exact.rounds.map(({ removed }) => removed));
  const shared = result.rounds.filter(({ removed }) => wanted.has(removed)).length;
  const [last = Number.NaN, least = Number.NaN] = [result, exact].map(
    ({ rounds }) => rounds.at(-1)?.distance,
  );
  const more = (100 * (last / least - 1)).toFixed(1);
  return `${shared} of ${wanted.size} removals in common; ${more} % more distance after the last`;
}

/**
 * @param {number} value
 * @param {number} expected
 */
function difference(value, expected) {
  return value === expected ? 0 : Math.abs(value - expected) / Math.abs(expected);
}

/** @param {readonly number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low = Number.NaN, high = low] = sorted.slice((sorted.length - 1) >> 1, middle + 1);
  return (low + high) / 2;
}
