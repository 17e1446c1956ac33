import type { ExpertSaliency } from '../../metrics/expert-saliency';

/** The experts of least saliency: the same share of each mixture, rounded down, and at least one stays. */
export function leastSalient(
  mixtures: readonly (readonly ExpertSaliency[])[],
  ratio: number,
): string[] {
  return mixtures.flatMap((experts) => {
    const count = shareOfExperts(ratio, experts.length);
    return [...experts]
      .sort((a, b) => a.saliency - b.saliency)
      .slice(0, count)
      .map(({ expert }) => expert);
  });
}

/** Of so many experts, how many a fraction is, rounded down; one stays. 0.29 of 100 are 29, whatever the last digit. */
export function shareOfExperts(ratio: number, count: number): number {
  return Math.min(count - 1, Math.floor(Number((ratio * count).toPrecision(12))));
}
