import { l10n } from 'vscode';
import { formatBytes, formatCount, formatPercent } from '../../core/format';
import type { JobProgress } from '../../protocol/jobs';
import type { JobRecord } from './job-record';
import type { JobService } from './job-service';

/** How a job is, in a few words: `12 % · about 4 min left`. */
export function describeState(job: JobRecord, service: Pick<JobService, 'place'>): string {
  switch (job.state) {
    case 'queued':
      return l10n.t('queued, {0} ahead', service.place(job));
    case 'running':
      return describeProgress(job.progress) ?? l10n.t('starting');
    case 'interrupted':
      return joined(l10n.t('interrupted'), job.saved);
    case 'cancelled':
      return joined(l10n.t('cancelled'), job.saved);
    case 'failed':
      return joined(l10n.t('failed'), job.message);
    case 'done':
      return joined(job.result, warningCount(job));
  }
}

/** The same with the title, for screen readers. */
export function describeJob(job: JobRecord, service: Pick<JobService, 'place'>): string {
  const state =
    job.state === 'running' ? l10n.t('running') : job.state === 'done' ? l10n.t('done') : '';
  return [job.title, state, describeState(job, service)].filter(Boolean).join(', ');
}

/** `12 % · about 4 min left` */
function describeProgress(progress: JobProgress | undefined): string | undefined {
  if (progress === undefined || progress.total <= 0) {
    return progress?.stage;
  }
  const { done, total, secondsLeft } = progress;
  return joined(
    formatPercent(Math.min(1, done / total)),
    secondsLeft === undefined ? undefined : l10n.t('about {0} left', describeDuration(secondsLeft)),
  );
}

/** `Round 2 of 6: 1.2 K of 4.8 K sublayer evaluations` */
export function describeStage({ stage, done, total, unit }: JobProgress): string {
  const format = unit === 'bytes' ? formatBytes : formatCount;
  const count = unit === 'bytes' ? '' : unit;
  return l10n.t('{0}: {1} of {2} {3}', stage, format(done), format(total), count).trim();
}

/** `40 s`, `4 min`, `2 h 5 min` */
function describeDuration(seconds: number): string {
  if (seconds < 90) {
    return l10n.t('{0} s', Math.max(1, Math.round(seconds)));
  }
  const minutes = Math.round(seconds / 60);
  return minutes < 90
    ? l10n.t('{0} min', minutes)
    : l10n.t('{0} h {1} min', Math.floor(minutes / 60), minutes % 60);
}

function warningCount({ warnings }: JobRecord): string | undefined {
  if (warnings.length === 0) {
    return undefined;
  }
  return warnings.length === 1 ? l10n.t('1 warning') : l10n.t('{0} warnings', warnings.length);
}

const joined = (...parts: readonly (string | undefined)[]): string =>
  parts.filter((part) => part !== undefined && part !== '').join(' · ');
