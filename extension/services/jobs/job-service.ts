import { randomUUID } from 'node:crypto';
import type { QueuePosition } from '../../core/describe-progress';
import { render, say, verbatim } from '../../core/message';
import { UserError } from '../../core/user-error';
import type { Outcome } from '../../core/operations/presentation';
import { CancellationTokenSource } from 'vscode-jsonrpc/node';
import type { CancellationToken } from 'vscode-jsonrpc/node';
import { Signal } from '../sessions/signal';
import { RequestCancelled, WorkerCrashed } from '../worker/worker-errors';
import type { JobEnvironment } from './job-environment';
import type { JobFollower } from './job-follower';
import { asRecord, isOver, isResumable, storedRequest } from './job-record';
import type { JobRecord, StoredJob } from './job-record';
import { withoutOldest } from './job-store';
import { watchJob } from './job-watch';
import { afterRestart, describeSavedWork } from './interruption';
import { jobOperations, getOperation } from './operations';
import type { Lane, Operation, RequestOf, ResultOf } from './operations';
import { removeWork, savedWorkPaths } from './saved-work';

/** Description of a new job. */
export interface NewJob<O extends Operation> {
  readonly operation: O;
  /** Display name of the model or dataset. */
  readonly name: string;
  readonly request: RequestOf<O>;
  /** Cancels the job, whether it runs or waits. */
  readonly token?: CancellationToken;
}

/** Lines of a job's log that are kept. */
const logLength = 200;
const saveMilliseconds = 2000;

type QueuedJob = Pick<StoredJob, 'id' | 'operation' | 'expected'>;

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** All jobs of this window and earlier ones: running (one per lane), queued, and finished. */
export class JobService {
  /** Tells which job has changed, been added or been removed. */
  public readonly changed = new Signal<JobRecord>();
  /** Fires when a job of this window ends, with its result. */
  public readonly ended = new Signal<{ readonly job: JobRecord; readonly outcome?: Outcome }>();

  /** Time when the jobs were loaded, used as the end time of interrupted ones. */
  public readonly opened = Date.now();

  readonly #environment: JobEnvironment;
  /** Oldest first; queued jobs run in this order. */
  #jobs: StoredJob[];
  readonly #followers = new Map<Operation, readonly JobFollower<Operation>[]>();
  readonly #waiting = new Map<string, Waiting>();
  readonly #running = new Map<
    Lane,
    { readonly id: string; readonly source: CancellationTokenSource }
  >();
  readonly #failures = new WeakMap<Error, string>();
  /** When jobs were stored last, by a clock that is never set back. */
  #saved = Number.NEGATIVE_INFINITY;
  #disposed = false;

  public constructor(environment: JobEnvironment) {
    this.#environment = environment;
    const stored = environment.store.load();
    this.#jobs = stored.map((job) => afterRestart(job, this.opened, environment.translate));
    if (this.#jobs.some((job, i) => job.state !== stored[i]?.state)) {
      this.#save();
    }
  }

  /** All jobs, the latest first. */
  public get jobs(): readonly JobRecord[] {
    return this.#jobs.map(asRecord).reverse();
  }

  /** Resumable jobs, most recently ended first. */
  public get resumable(): readonly JobRecord[] {
    const endTime = ({ ended = 0 }: JobRecord): number => ended;
    return this.jobs.filter(isResumable).sort((a, b) => endTime(b) - endTime(a));
  }

  /** Running jobs, at most one per lane. */
  public get running(): readonly JobRecord[] {
    return this.jobs.filter(({ state }) => state === 'running');
  }

  public find(id: string): JobRecord | undefined {
    const job = this.#find(id);
    return job && asRecord(job);
  }

  /** Number of jobs that run before a waiting one. */
  public place(job: QueuedJob): number {
    return this.#queue(job).findIndex(({ id }) => id === job.id);
  }

  /** Position of a waiting job, with estimates of its start and its time. */
  public queuePosition(job: QueuedJob): QueuePosition {
    const place = this.place(job);
    const ahead = this.#queue(job).slice(0, place);
    const seconds = ahead.reduce((sum, one) => sum + secondsLeft(one), 0);
    return {
      place,
      ...(Number.isNaN(seconds) ? {} : { startsIn: seconds }),
      ...(job.expected === undefined ? {} : { expected: job.expected }),
    };
  }

  /** Name of a job in a panel, such as `Profiling`. */
  public name({ operation, title }: JobRecord): string {
    const { jobName } = getOperation(operation);
    return jobName === undefined ? title : render(jobName, this.#environment.translate);
  }

  public follow<O extends Operation>(operation: O, follower: JobFollower<O>): void {
    const known = this.#findFollowers({ operation });
    this.#followers.set(operation, [...known, follower as unknown as JobFollower<Operation>]);
  }

  /** True if a panel currently shows a job. */
  public isShown(job: JobRecord): boolean {
    return this.#findFollowers(job).some((one) => one.isShown?.(job) === true);
  }

  /** The job that has thrown an error. */
  public failed(error: unknown): JobRecord | undefined {
    const id = error instanceof Error ? this.#failures.get(error) : undefined;
    return id === undefined ? undefined : this.find(id);
  }

  /** Runs a new job once the jobs before it in its lane are over. */
  public async run<O extends Operation>({
    operation,
    name,
    request,
    token,
  }: NewJob<O>): Promise<ResultOf<O>> {
    const { title, subject } = getOperation(operation);
    const job: StoredJob = {
      id: randomUUID(),
      operation,
      title: this.#environment.translate(title, name),
      name,
      model: subject(request),
      request: storedRequest(request),
      state: 'queued',
      created: Date.now(),
      outputs: [],
      warnings: [],
      log: [],
    };
    this.#jobs = withoutOldest([...this.#jobs, job]);
    const listening = token?.onCancellationRequested(() => {
      this.cancel(job.id);
    });
    try {
      return (await this.#enqueue(job)) as ResultOf<O>;
    } finally {
      listening?.dispose();
    }
  }

  /** Resumes a job from its saved work; undefined if there is none. */
  public async resume(id: string): Promise<unknown> {
    const job = this.#find(id);
    if (job === undefined || !isResumable(job)) {
      return undefined;
    }
    // It is queued after jobs requested in the meantime.
    this.#jobs = [...this.#jobs.filter((other) => other !== job), job];
    return this.#enqueue(job);
  }

  /** Cancels a running job, or removes a queued one. */
  public cancel(id: string): void {
    for (const running of this.#running.values()) {
      if (running.id === id) {
        running.source.cancel();
      }
    }
    const job = this.#find(id);
    if (job?.state === 'queued') {
      this.#end(job, new RequestCancelled());
    }
  }

  /** Removes a job that is over together with its finished work. */
  public async discard(id: string): Promise<void> {
    const job = this.#find(id);
    if (job !== undefined && isOver(job)) {
      this.remove(id);
      await removeWork(asRecord(job));
    }
  }

  /** Removes a job that is over from the history. */
  public remove(id: string): void {
    const job = this.#find(id);
    if (job !== undefined && isOver(job)) {
      this.#jobs = this.#jobs.filter((other) => other !== job);
      this.#tell(job);
    }
  }

  /** Called when the window closes. Running jobs end and are listed as interrupted in the next window. */
  public dispose(): void {
    this.#disposed = true;
  }

  async #enqueue(job: StoredJob): Promise<unknown> {
    delete job.ended;
    delete job.message;
    delete job.cause;
    job.state = 'queued';
    const ended = new Promise((resolve, reject) => {
      this.#waiting.set(job.id, { resolve, reject });
    });
    this.#tell(job);
    this.#startNext(jobLane(job));
    void this.#expect(job);
    return ended;
  }

  /** Ends a queued job that can't run, and estimates the duration of the others. */
  async #expect(job: StoredJob): Promise<void> {
    const waits = (): boolean => job.state === 'queued';
    if (!waits()) {
      return;
    }
    const { check, estimate } = this.#environment;
    const refusal: unknown = await check(job.operation, job.request).catch(
      (error: unknown) => error,
    );
    if (refusal instanceof UserError) {
      if (waits()) {
        this.#end(job, refusal);
      }
      return;
    }
    const seconds = await estimate(job.operation, job.request).catch(() => null);
    if (seconds !== null && waits()) {
      job.expected = seconds;
      this.#tell(job);
    }
  }

  #startNext(lane: Lane): void {
    const next = this.#jobs.find((job) => job.state === 'queued' && jobLane(job) === lane);
    if (next !== undefined && !this.#running.has(lane)) {
      void this.#run(next, lane);
    }
  }

  async #run(job: StoredJob, lane: Lane): Promise<void> {
    const { log, lanes, withPassword } = this.#environment;
    const source = new CancellationTokenSource();
    this.#running.set(lane, { id: job.id, source });
    const resumed = job.started !== undefined;
    job.state = 'running';
    job.started = Date.now();
    delete job.progress;
    delete job.workers;
    this.#takeOver(job);
    this.#note(job, this.#environment.translate('Started.'));
    this.#tell(job);
    log.info(`${job.operation} ${job.model}`, JSON.stringify(job.request));
    const record = asRecord(job);
    const followers = this.#findFollowers(job);
    try {
      for (const follower of followers) {
        await follower.begin?.(record, resumed);
      }
      const result = await lanes[lane].request(
        job.operation,
        withPassword(job.request),
        watchJob(job, source.token, this.#environment, {
          note: (text) => {
            this.#note(job, text);
          },
          tell: (atOnce) => {
            this.#tell(job, atOnce);
          },
          followers,
        }),
      );
      this.#end(job, undefined, await this.#outcome(job, result), result);
    } catch (error) {
      for (const follower of followers) {
        await follower.stopped?.(record);
      }
      this.#end(job, error);
    } finally {
      source.dispose();
      this.#running.delete(lane);
      this.#startNext(lane);
    }
  }

  /** Outcome of a job with a result. If the result can't be shown, the job is still done. */
  async #outcome(job: StoredJob, result: unknown): Promise<Outcome> {
    try {
      const record = asRecord(job);
      const followers = this.#findFollowers(job);
      for (const follower of followers) {
        await follower.done?.(result as never, record);
      }
      const [original] = followers.flatMap((one) => one.original?.(record) ?? []);
      const { name, request } = job;
      const { outcome } = getOperation(job.operation);
      return (
        outcome?.(result, { name, request, ...(original === undefined ? {} : { original }) }) ?? {
          summary: say`Done.`,
        }
      );
    } catch (error) {
      this.#environment.log.error(error as Error);
      return { summary: verbatim(this.#environment.describeError(error)) };
    }
  }

  #end(job: StoredJob, error: unknown, outcome?: Outcome, result?: unknown): void {
    if (this.#disposed) {
      return;
    }
    const { translate, describeError, log } = this.#environment;
    job.ended = Date.now();
    if (outcome === undefined) {
      job.saved = describeSavedWork(job, translate);
      job.state = this.#stateAfter(job, error);
      if (job.state !== 'cancelled') {
        job.message = describeError(error);
      }
    } else {
      job.state = 'done';
      job.result = render(outcome.summary, translate);
      const output = getOperation(job.operation).output?.(job.request) ?? '';
      job.outputs = output === '' || outcome.writesNothing === true ? [] : [output];
      delete job.saved;
    }
    delete job.progress;
    delete job.workers;
    delete job.expected;
    const seconds = Math.max(0, job.ended - (job.started ?? job.ended)) / 1000;
    log.info(`${job.operation} ${job.model}: ${job.state} after ${seconds.toFixed(1)} s`);
    this.#note(job, job.result ?? job.message ?? translate('Canceled.'));
    this.#tell(job);
    this.ended.fire({ job: asRecord(job), ...(outcome === undefined ? {} : { outcome }) });
    const waiting = this.#waiting.get(job.id);
    this.#waiting.delete(job.id);
    if (outcome !== undefined) {
      waiting?.resolve(result);
      return;
    }
    if (error instanceof Error) {
      this.#failures.set(error, job.id);
    }
    waiting?.reject(error);
  }

  /**
   * State after an error. An invalid request would fail again, but a crash isn't the request's
   * fault.
   */
  #stateAfter(job: StoredJob, error: unknown): StoredJob['state'] {
    if (error instanceof RequestCancelled) {
      return 'cancelled';
    }
    if (error instanceof WorkerCrashed) {
      job.cause = 'crashed';
      return job.saved === undefined ? 'failed' : 'interrupted';
    }
    return 'failed';
  }

  /** Finished work that a job continues no longer belongs to an earlier job with the same output. */
  #takeOver(job: StoredJob): void {
    const work = savedWorkPaths(asRecord(job));
    for (const other of this.#jobs) {
      if (other !== job && other.saved !== undefined) {
        const isSame = savedWorkPaths(asRecord(other)).some((path) => work.includes(path));
        if (isSame) {
          delete other.saved;
          this.#tell(other);
        }
      }
    }
  }

  #note(job: StoredJob, text: string): void {
    job.log = [...job.log, { time: Date.now(), text }].slice(-logLength);
  }

  /** Notifies of a change and stores it, immediately, or with a delay if changes are frequent. */
  #tell(job: StoredJob, atOnce = true): void {
    if (atOnce || performance.now() - this.#saved > saveMilliseconds) {
      this.#save();
    }
    this.changed.fire(asRecord(job));
  }

  #save(): void {
    this.#saved = performance.now();
    void this.#environment.store.save(this.#jobs);
  }

  #findFollowers({ operation }: Pick<StoredJob, 'operation'>): readonly JobFollower<Operation>[] {
    return this.#followers.get(operation) ?? [];
  }

  /** Jobs of a lane that run or wait, in order. */
  #queue({ operation }: Pick<StoredJob, 'operation'>): readonly StoredJob[] {
    const { lane } = jobOperations[operation];
    return this.#jobs.filter((job) => !isOver(job) && jobLane(job) === lane);
  }

  #find(id: string): StoredJob | undefined {
    return this.#jobs.find((job) => job.id === id);
  }
}

const jobLane = ({ operation }: Pick<StoredJob, 'operation'>): Lane =>
  jobOperations[operation].lane;

/** Remaining seconds of a job from its progress, or else from earlier runs; NaN if unknown. */
function secondsLeft({ progress, expected = Number.NaN, started, state }: StoredJob): number {
  const now = Date.now();
  const begun = state === 'running' ? (started ?? now) : now;
  return progress?.secondsLeft ?? Math.max(0, expected - (now - begun) / 1000);
}
