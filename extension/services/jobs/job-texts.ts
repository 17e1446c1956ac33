import { l10n } from 'vscode';
import { formatBytes, formatCount, formatDuration } from '../../core/format';
import { describeQueued, describeShare } from '../../core/describe-progress';
import type { JobProgress } from '../../protocol/jobs';
import type { JobRecord, JobWorker } from './job-record';
import type { JobService } from './job-service';
import { counts } from '../counts';

type Queue = Pick<JobService, 'queuePosition'>;

/** Short description of a job's state: `12 % · about 4 min left`. */
export function describeState(job: JobRecord, service: Queue): string {
  switch (job.state) {
    case 'queued':
      return describeQueued(service.queuePosition(job), l10n.t);
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

/** Description with the title, for screen readers. */
export function describeJob(job: JobRecord, service: Queue): string {
  const state =
    job.state === 'running' ? l10n.t('running') : job.state === 'done' ? l10n.t('done') : '';
  return [job.title, state, describeState(job, service)].filter(Boolean).join(', ');
}

/** `12 pieces · 34 s` */
export const describeWorker = ({ done, seconds }: JobWorker): string =>
  joined(counts.pieces(done), formatDuration(seconds));

/** `12 % · about 4 min left`; the stage while the job is prepared. */
const describeProgress = (progress: JobProgress | undefined): string | undefined =>
  progress && (describeShare(progress, l10n.t) ?? progress.stage);

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
