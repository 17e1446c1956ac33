/** Distances between the logits of the original and of a changed model (FinerCut, arXiv 2405.18218, section 3). */
export const metricNames = ['js', 'js-reference', 'kl', 'norm', 'angular', 'perplexity'] as const;
export type MetricName = (typeof metricNames)[number];

/** The distance where none is asked for. */
export const defaultMetric: MetricName = 'js';
