/** Mean, deviation and range of values. */
export interface Spread {
  readonly mean: number;
  /** Sample standard deviation (divisor n − 1); null for fewer than two values. */
  readonly deviation: number | null;
  readonly least: number;
  readonly most: number;
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);

export function describeSpread(values: readonly number[]): Spread {
  const middle = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - middle) ** 2, 0);
  return {
    mean: middle,
    deviation: values.length < 2 ? null : Math.sqrt(squares / (values.length - 1)),
    least: Math.min(...values),
    most: Math.max(...values),
  };
}

/** Pearson correlation; null if either side is constant. */
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
 * Expected score of the candidate with the best validation among `count` drawn at random. Makes populations of
 * different sizes comparable. The first one wins ties.
 */
export function expectedBestScore(
  candidates: readonly { readonly validation: number; readonly score: number }[],
  count: number,
): number {
  const ordered = [...candidates].sort((a, b) => b.validation - a.validation);
  const drawn = Math.min(count, ordered.length);
  // The i-th is the best if it is drawn and none before it is: C(n − i − 1, k − 1) / C(n, k).
  let chance = drawn / Math.max(1, ordered.length);
  return ordered.reduce((sum, { score }, i) => {
    const term = sum + chance * score;
    const left = ordered.length - i - 1;
    chance *= left === 0 ? 0 : Math.max(0, left - drawn + 1) / left;
    return term;
  }, 0);
}
