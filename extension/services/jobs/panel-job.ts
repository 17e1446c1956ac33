import type { PanelName } from '../../core/operations/presentation';
import type { PanelJob } from '../../protocol/jobs';
import { isOver, isResumable } from './job-record';
import type { JobRecord, JobSummary } from './job-record';
import type { JobService } from './job-service';
import { getOperation } from './operations';

/** Path of the document that the panel of a job shows; undefined for the one next to the model. */
export function jobDocument({ operation, request }: JobRecord): string | undefined {
  const { document } = getOperation(operation);
  const path: unknown = document === undefined ? undefined : Reflect.get(request, document);
  return typeof path === 'string' ? path : undefined;
}

/** True if the result of a job is the document that its panel shows. */
export function makesDocument({ operation, request }: JobRecord): boolean {
  const { output } = getOperation(operation);
  const document = jobDocument({ operation, request } as JobRecord);
  return document !== undefined && document === output?.(request);
}

/** True if a job is about a document of a model, or about the model alone. */
export const isAboutDocument = (job: JobRecord, model: string, file: string): boolean =>
  job.model === model && (jobDocument(job) ?? file) === file;

/** Jobs that a panel shows, the latest first. */
export const panelJobs = (
  all: readonly JobRecord[],
  panel: PanelName,
  isShown: (job: JobRecord) => boolean,
): readonly JobRecord[] =>
  all.filter((job) => getOperation(job.operation).panel === panel && isShown(job));

/**
 * Job that a panel shows: the one that is running or waiting, the last one that ended in this
 * window without a result, or one that can be resumed.
 */
export function selectPanelJob(
  service: Pick<JobService, 'queuePosition' | 'opened' | 'name'>,
  jobs: readonly JobRecord[],
): PanelJob {
  const active =
    jobs.find(({ state }) => state === 'running') ?? jobs.findLast((job) => !isOver(job));
  if (active !== undefined) {
    const named = describeJob(service, active);
    return active.state === 'running'
      ? { kind: 'running', ...named, progress: active.progress }
      : { kind: 'queued', ...named, position: service.queuePosition(active) };
  }
  const last = latest(jobs);
  const isNews = last !== undefined && last.state !== 'done' && (last.ended ?? 0) >= service.opened;
  const shown = isNews ? last : jobs.find(isResumable);
  return shown === undefined ? { kind: 'idle' } : stopped(service, shown);
}

/** Warnings of the worker in the job that ran last. */
export const latestWarnings = (jobs: readonly JobSummary[]): readonly string[] =>
  latest(jobs)?.warnings ?? [];

/** The job that was started last. */
function latest<Job extends JobSummary>(jobs: readonly Job[]): Job | undefined {
  const startTime = ({ started, created }: Job): number => started ?? created;
  return [...jobs].sort((a, b) => startTime(b) - startTime(a))[0];
}

const describeJob = (service: Pick<JobService, 'name'>, job: JobRecord) => ({
  id: job.id,
  name: service.name(job),
  makesDocument: makesDocument(job),
});

function stopped(service: Pick<JobService, 'name'>, job: JobRecord): PanelJob {
  const { state, cause, message = '', saved } = job;
  return {
    kind: 'stopped',
    ...describeJob(service, job),
    message,
    reason: state === 'cancelled' ? 'cancelled' : (cause ?? 'failed'),
    ...(isResumable(job) && saved !== undefined ? { saved } : {}),
  };
}
