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

/** Ranks from 1 on; equal values share the mean of their ranks. */
export function ranks(values: Float64Array): Float64Array {
  const order = argsort(values);
  const result = new Float64Array(values.length);
  for (let start = 0; start < order.length;) {
    let end = start + 1;
    while (end < order.length && values[order[end] ?? 0] === values[order[start] ?? 0]) {
      end++;
    }
    for (const place of order.subarray(start, end)) {
      result[place] = (start + 1 + end) / 2;
    }
    start = end;
  }
  return result;
}

/** Spearman's rank correlation: Pearson's of the ranks. Undefined where one side is all equal. */
export function spearman(a: Float64Array, b: Float64Array): number | undefined {
  const [x, y] = [ranks(a), ranks(b)];
  const mean = (x.length + 1) / 2;
  let [covariance, varianceX, varianceY] = [0, 0, 0];
  x.forEach((rank, i) => {
    const [dx, dy] = [rank - mean, (y[i] ?? 0) - mean];
    covariance += dx * dy;
    varianceX += dx * dx;
    varianceY += dy * dy;
  });
  return varianceX === 0 || varianceY === 0
    ? undefined
    : covariance / Math.sqrt(varianceX * varianceY);
}

/** Spearman's correlation of every pair of runs, but for those where a run has no order. */
export function pairwiseSpearman(runs: readonly Float64Array[]): number[] {
  return runs.flatMap((run, i) => runs.slice(i + 1).flatMap((other) => spearman(run, other) ?? []));
}

/**
 * How far runs agree on the order of the examples: the mean of Spearman's correlation over all pairs of
 * runs. Undefined for fewer than two runs, or where none has an order.
 */
export function interRunSpearman(runs: readonly Float64Array[]): number | undefined {
  const found = pairwiseSpearman(runs);
  return found.length === 0 ? undefined : found.reduce((sum, one) => sum + one, 0) / found.length;
}
