/** Language of the strings below, which numbers are formatted for. */
export const locale = 'en';

/** How a job ends without a result. */
export const ends = {
  cancelled: 'was cancelled.',
  failed: 'failed.',
  crashed: 'stopped.',
  closed: 'was interrupted.',
} as const;

/** Texts of the parts that panels share. */
export const strings = {
  resume: 'Resume',
  cancel: 'Cancel',
  cancelling: 'Cancelling…',
  showLog: 'Show Log',
  resumeTitle: 'Continue where the job stopped',
  job: 'Job',
  progressCount: (done: string, total: string, unit: string) => `${done} of ${total} ${unit}`,
  timeLeft: (duration: string) => `about ${duration} left`,
  queued: (place: number) =>
    place === 1 ? 'Waiting for 1 other job' : `Waiting for ${place} other jobs`,

  // Histogram
  histogramSummary: (bins: number, low: string, high: string, peak: string) =>
    `Histogram of ${bins} equal parts from ${low} to ${high}; most numbers lie around ${peak}.`,
  histogramTable: 'Numbers of the histogram',
  bin: (low: string, high: string) => `${low} to ${high}`,
  from: 'From',
  to: 'To',
} as const;
