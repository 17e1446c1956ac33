import { asRecord, isOver } from './job-record';
import type { StoredJob } from './job-record';
import { getOperation } from './operations';
import { hasWork } from './saved-work';
import { render } from '../../core/message';
import type { Translate } from '../../core/message';

/** A job of an earlier window: one that ran or waited when that was closed is interrupted. */
export function afterRestart(job: StoredJob, now: number, translate: Translate): StoredJob {
  if (isOver(job)) {
    return job.saved === undefined || hasWork(asRecord(job)) ? job : { ...job, saved: undefined };
  }
  return {
    ...job,
    state: 'interrupted',
    cause: 'closed',
    ended: now,
    progress: undefined,
    workers: undefined,
    expected: undefined,
    saved: describeSavedWork(job, translate),
    message:
      job.state === 'running'
        ? translate('The window was closed while the job ran.')
        : translate('The window was closed before the job started.'),
  };
}

/**
 * Describes the saved work that Resume skips. Files on disk determine whether there is any, and the
 * job's counter determines how much.
 */
export function describeSavedWork(job: StoredJob, translate: Translate): string | undefined {
  // Work saved by another job with the same output doesn't belong to a job that never ran.
  if (job.started === undefined || !hasWork(asRecord(job))) {
    return undefined;
  }
  const { saved } = getOperation(job.operation);
  const { done = 0, total = 0 } = job.counted ?? {};
  return saved === undefined || done === 0
    ? translate('Progress is saved.')
    : render(saved.text(done, total), translate);
}
