import { l10n } from 'vscode';
import { formatBytes, formatCount, formatDuration, formatPercent } from '../../core/format';
import type { JobProgress } from '../../protocol/jobs';
import type { JobRecord, JobWorker } from './job-record';
import type { JobService } from './job-service';
import { counts } from '../counts';

/** Place and start of jobs that wait. */
type Queue = Pick<JobService, 'place' | 'startsIn'>;

/** Short description of a job's state: `12 % · about 4 min left`. */
export function describeState(job: JobRecord, service: Queue): string {
  switch (job.state) {
    case 'queued':
      return joined(
        l10n.t('queued, {0} ahead', service.place(job)),
        timeText(service.startsIn(job), (time) => l10n.t('starts in about {0}', time)),
        timeText(job.expected, (time) => l10n.t('takes about {0}', time)),
      );
    case 'running':
      return describeProgress(job.progress) ?? l10n.t('starting');
    case 'interrupted':
      return joined(l10n.t('interrupted'), job.saved);
    case 'cancelled':
      return joined(l10n.t('canceled'), job.saved);
    case 'failed':
      return joined(l10n.t('failed'), job.message);
    case 'done':
      return joined(job.result, warningCount(job));
  }
}

const timeText = (
  seconds: number | undefined,
  text: (time: string) => string,
): string | undefined => (seconds === undefined ? undefined : text(formatDuration(seconds)));

/** The same with the title, for screen readers. */
export function describeJob(job: JobRecord, service: Queue): string {
  const state =
    job.state === 'running' ? l10n.t('running') : job.state === 'done' ? l10n.t('done') : '';
  return [job.title, state, describeState(job, service)].filter(Boolean).join(', ');
}

/** `12 pieces · 34 s` */
export const describeWorker = ({ done, seconds }: JobWorker): string =>
  joined(counts.pieces(done), formatDuration(seconds));

/** `12 % · about 4 min left`; of what only prepares the job, its name. */
function describeProgress(progress: JobProgress | undefined): string | undefined {
  if (progress === undefined || progress.total <= 0 || progress.moreFollows === true) {
    return progress?.stage;
  }
  const { done, total, secondsLeft } = progress;
  return joined(
    formatPercent(Math.min(1, done / total)),
    secondsLeft === undefined ? undefined : l10n.t('about {0} left', formatDuration(secondsLeft)),
  );
}

/** `Round 2 of 6: 1.2 K of 4.8 K sublayer evaluations` */
export function describeStage({ stage, done, total, unit }: JobProgress): string {
  const format = unit === 'bytes' ? formatBytes : formatCount;
  const count = unit === 'bytes' ? '' : unit;
  return l10n.t('{0}: {1} of {2} {3}', stage, format(done), format(total), count).trim();
}

function warningCount({ warnings }: JobRecord): string | undefined {
  if (warnings.length === 0) {
    return undefined;
  }
  return counts.warnings(warnings.length);
}

const joined = (...parts: readonly (string | undefined)[]): string =>
  parts.filter((part) => part !== undefined && part !== '').join(' · ');
