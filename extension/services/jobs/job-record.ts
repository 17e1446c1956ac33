import * as v from 'valibot';
import { withoutPassword } from '../../core/distribute/queue/address';
import { operations } from './operations';
import type { Operation, RequestOf } from './operations';

export const jobStates = [
  'queued',
  'running',
  'interrupted',
  'cancelled',
  'failed',
  'done',
] as const;
export type JobState = (typeof jobStates)[number];

const progressSchema = v.object({
  stage: v.string(),
  done: v.number(),
  total: v.number(),
  unit: v.picklist(['sequences', 'examples', 'bytes', 'steps', 'programs']),
  /** Estimate from recently counted work; undefined while it is unknown. */
  secondsLeft: v.optional(v.number()),
});

const workerSchema = v.object({
  name: v.string(),
  /** Finished work items, and the seconds they took. */
  done: v.number(),
  seconds: v.number(),
  /** True while it runs a work item. */
  isBusy: v.boolean(),
});
export type JobWorker = Readonly<v.InferOutput<typeof workerSchema>>;

/** A job as it is stored. Times are milliseconds since 1970. */
export const jobRecordSchema = v.object({
  id: v.string(),
  operation: v.picklist(operations),
  /** `Profiling espalier-sample`. */
  title: v.string(),
  /** Display name of the model or dataset. */
  name: v.string(),
  /** Path of the model or dataset. */
  model: v.string(),
  request: v.record(v.string(), v.unknown()),
  state: v.picklist(jobStates),
  created: v.number(),
  started: v.optional(v.number()),
  ended: v.optional(v.number()),
  progress: v.optional(progressSchema),
  /** Workers of a running job. */
  workers: v.optional(v.array(workerSchema)),
  /**
   * Expected duration of a waiting job in seconds, if an earlier run on this machine predicts it.
   */
  expected: v.optional(v.number()),
  /** Candidates or layers that are measured, of how many. */
  counted: v.optional(v.object({ done: v.number(), total: v.number() })),
  /** Description of the saved work that Resume skips; absent if nothing is saved. */
  saved: v.optional(v.string()),
  /** Reason why it ended without a result. */
  message: v.optional(v.string()),
  /** External cause of the job's end, neither an error nor the user. */
  cause: v.optional(v.picklist(['crashed', 'closed'])),
  /** Sentence about the result. */
  result: v.optional(v.string()),
  /** Files and folders that it wrote. */
  outputs: v.array(v.string()),
  warnings: v.array(v.string()),
  log: v.array(v.object({ time: v.number(), text: v.string() })),
});
export type StoredJob = v.InferOutput<typeof jobRecordSchema>;

/** A request as it is stored and shown: settings keep the password of a queue. */
export function storedRequest(request: object): StoredJob['request'] {
  const given: StoredJob['request'] = { ...request };
  const { queue } = given;
  return typeof queue === 'string' ? { ...given, queue: withoutPassword(queue) } : given;
}

/** Properties of a job of any operation. */
export type JobSummary = Readonly<
  Omit<StoredJob, 'operation' | 'request' | 'workers' | 'outputs' | 'warnings' | 'log'>
> & {
  readonly workers?: readonly JobWorker[] | undefined;
  readonly outputs: readonly string[];
  readonly warnings: readonly string[];
  readonly log: readonly { readonly time: number; readonly text: string }[];
};

/** A job, from being asked for to its end. The service changes it; everybody else reads. */
export type JobRecord<O extends Operation = Operation> = O extends Operation
  ? JobSummary & { readonly operation: O; readonly request: RequestOf<O> }
  : never;
export const isOver = ({ state }: Pick<JobSummary, 'state'>): boolean =>
  state !== 'queued' && state !== 'running';

/** True if Resume differs from Run Again. */
export const isResumable = ({ state, saved }: Pick<JobSummary, 'state' | 'saved'>): boolean =>
  saved !== undefined && (state === 'interrupted' || state === 'cancelled');

/** The stored request belongs to the stored operation. */
export const asRecord = (job: StoredJob): JobRecord => job as unknown as JobRecord;
