import type { PanelJob } from '../../protocol/jobs';
import { isOver, isResumable } from './job-record';
import type { JobRecord, JobSummary } from './job-record';
import type { JobService } from './job-service';
import type { Operation } from './operations';

/** A job whose request does not matter. */
export type ShownJob<O extends Operation> = JobSummary & { readonly operation: O };

/** Jobs of some operations on the given subject, the latest first. */
export function jobsAbout<O extends Operation>(
  all: readonly JobRecord[],
  operations: readonly O[],
  isAbout: (job: JobRecord<O>) => boolean,
): readonly JobRecord<O>[] {
  const isOne = (job: JobRecord): job is JobRecord<O> =>
    operations.some((operation) => operation === job.operation);
  return all.filter(isOne).filter(isAbout);
}

/**
 * Job that a panel shows: the one that is running or waiting, the last one that ended in this
 * window without a result, or one that can be resumed.
 */
export function selectPanelJob<O extends Operation>(
  service: Pick<JobService, 'queuePosition' | 'opened'>,
  jobs: readonly ShownJob<O>[],
): PanelJob<O> {
  const active =
    jobs.find(({ state }) => state === 'running') ?? jobs.findLast((job) => !isOver(job));
  if (active !== undefined) {
    const { id, operation: what, progress } = active;
    return active.state === 'running'
      ? { kind: 'running', id, what, progress }
      : { kind: 'queued', id, what, position: service.queuePosition(active) };
  }
  const last = latest(jobs);
  const isNews = last !== undefined && last.state !== 'done' && (last.ended ?? 0) >= service.opened;
  const shown = isNews ? last : jobs.find(isResumable);
  return shown === undefined ? { kind: 'idle' } : stopped(shown);
}

/** Warnings of the worker in the job that ran last. */
export const latestWarnings = (jobs: readonly JobSummary[]): readonly string[] =>
  latest(jobs)?.warnings ?? [];

/** The job that was started last. */
function latest<Job extends JobSummary>(jobs: readonly Job[]): Job | undefined {
  const startTime = ({ started, created }: Job): number => started ?? created;
  return [...jobs].sort((a, b) => startTime(b) - startTime(a))[0];
}

function stopped<O extends Operation>(job: ShownJob<O>): PanelJob<O> {
  const { id, operation: what, state, cause, message = '', saved } = job;
  return {
    kind: 'stopped',
    ...{ id, what, message },
    reason: state === 'cancelled' ? 'cancelled' : (cause ?? 'failed'),
    ...(isResumable(job) && saved !== undefined ? { saved } : {}),
  };
}
