/**
 * Places of values in ascending order; equal ones stay in their own. Values are sorted without a comparison function,
 * which takes a tenth of the time for hundreds of thousands.
 * @param values without NaN
 */
export function argsort(values: Float64Array): Uint32Array {
  const sorted = values.slice().sort();
  const taken = new Uint32Array(values.length);
  const order = new Uint32Array(values.length);
  values.forEach((value, place) => {
    const first = lowerBound(sorted, value);
    const before = taken[first] ?? 0;
    order[first + before] = place;
    taken[first] = before + 1;
  });
  return order;
}

/** How many of some ascending numbers are below a value. */
function lowerBound(sorted: Float64Array, value: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) < value) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}
