/**
 * Labels that are probably wrong, by confident learning (Northcutt et al. 2021, arXiv 1911.00068, § 3.1): the
 * predicted class is another, and its probability is at least the mean probability of that class among the
 * examples that have it as their label.
 */
export function labelIssues({
  labels,
  predicted,
  given,
  largest,
  classes,
}: {
  readonly labels: Int32Array;
  readonly predicted: Int32Array;
  /** Probability of the given label. */
  readonly given: Float64Array;
  /** Probability of the predicted class. */
  readonly largest: Float64Array;
  readonly classes: number;
}): (0 | 1)[] {
  const sums = new Float64Array(classes);
  const counts = new Float64Array(classes);
  labels.forEach((label, i) => {
    sums[label] = (sums[label] ?? 0) + (given[i] ?? 0);
    counts[label] = (counts[label] ?? 0) + 1;
  });
  const thresholds = sums.map((sum, label) => sum / Math.max(1, counts[label] ?? 0));
  return Array.from(labels, (label, i) => {
    const other = predicted[i] ?? label;
    return other !== label && (largest[i] ?? 0) >= (thresholds[other] ?? 1) ? 1 : 0;
  });
}
