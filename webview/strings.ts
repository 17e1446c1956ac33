import { t, listed } from './translate';

/** Language of the strings below, which numbers are formatted for. */
export const locale = 'en';

/** Messages for jobs that end without a result. */
export const ends = {
  cancelled: t('was canceled.'),
  failed: t('failed.'),
  crashed: t('stopped.'),
  closed: t('was interrupted.'),
} as const;

/** Texts of the parts that panels share. */
export const strings = {
  resume: t('Resume'),
  cancel: t('Cancel'),
  cancelling: t('Canceling…'),
  showLog: t('Show Log'),
  resumeTitle: t('Continue where the job stopped'),
  job: t('Job'),
  progressCount: (done: string, total: string, unit: string) =>
    t('{0} of {1} {2}', done, total, unit),

  copyImage: t('Copy as Image'),
  copied: t('Copied.'),

  // Drift
  driftStaysBelow: (limit: string) => t('Drift stays below {0}.', limit),
  driftStarts: (limit: string, sublayer: string) =>
    t('Drift reaches {0} after {1}.', limit, sublayer),
  driftMostAt: (places: readonly string[]) => t('Largest there: {0}.', listed(places)),
  driftAtToken: (token: string, position: string, share: string) =>
    t('{0} (token {1}, {2})', token, position, share),
  driftAtPosition: (position: string, share: string) => t('position {0} ({1})', position, share),

  // Histogram
  histogramSummary: (bins: number, low: string, high: string, peak: string) =>
    t(
      'Histogram with {0} bins from {1} to {2}; most values are around {3}.',
      bins,
      low,
      high,
      peak,
    ),
  histogramTable: t('Values of the histogram'),
  bin: (low: string, high: string) => t('{0} to {1}', low, high),
  from: t('From'),
  to: t('To'),
} as const;
