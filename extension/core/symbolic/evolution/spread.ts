/** How values lie. */
export interface Spread {
  readonly mean: number;
  /** Of the sample, divided by its number − 1; null for fewer than two. */
  readonly deviation: number | null;
  readonly least: number;
  readonly most: number;
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);

export function spreadOf(values: readonly number[]): Spread {
  const middle = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - middle) ** 2, 0);
  return {
    mean: middle,
    deviation: values.length < 2 ? null : Math.sqrt(squares / (values.length - 1)),
    least: Math.min(...values),
    most: Math.max(...values),
  };
}

/** Pearson's correlation; null where one side is all equal. */
export function correlation(a: readonly number[], b: readonly number[]): number | null {
  const [meanA, meanB] = [mean(a), mean(b)];
  let [covariance, varianceA, varianceB] = [0, 0, 0];
  a.forEach((value, i) => {
    const [da, db] = [value - meanA, (b[i] ?? meanB) - meanB];
    covariance += da * db;
    varianceA += da * da;
    varianceB += db * db;
  });
  return varianceA === 0 || varianceB === 0 ? null : covariance / Math.sqrt(varianceA * varianceB);
}

/**
 * Expected score of the candidate that validates best among `count` drawn at random from all: what makes
 * populations of different sizes comparable. Of equal ones the first counts.
 */
export function expectedBestOf(
  candidates: readonly { readonly validation: number; readonly score: number }[],
  count: number,
): number {
  const ordered = [...candidates].sort((a, b) => b.validation - a.validation);
  const drawn = Math.min(count, ordered.length);
  // The i-th is the best when it is drawn and none before it is: C(n − i − 1, k − 1) / C(n, k).
  let chance = drawn / Math.max(1, ordered.length);
  return ordered.reduce((sum, { score }, i) => {
    const term = sum + chance * score;
    const left = ordered.length - i - 1;
    chance *= left === 0 ? 0 : Math.max(0, left - drawn + 1) / left;
    return term;
  }, 0);
}
