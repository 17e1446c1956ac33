import { rm } from 'node:fs/promises';
import { l10n } from 'vscode';
import type { Disposable, Memento } from 'vscode';
import { workFolder } from '../core/jobs/work-folder';
import type { PanelJob } from '../protocol/heatmap';
import type { WorkerRequests } from '../protocol/worker';
import type { Jobs } from './jobs';
import { reasonOf } from './job-tracker';
import { describeInPanel } from './report-error';
import { Signal } from './signal';
import { WorkerRequestError } from './worker-errors';

/** Jobs that keep what is done beside their result, and are no document's that could tell of them. */
export type ResumableKind = 'compress' | 'repair' | 'patch';

export interface JobEnd {
  readonly reason: Extract<PanelJob, { kind: 'stopped' }>['reason'];
  readonly message: string;
}

/** A job that has begun and not ended well: the last of its kind for a model. */
export type InterruptedJob = {
  readonly [K in ResumableKind]: {
    readonly kind: K;
    /** Name of the model. */
    readonly name: string;
    readonly request: WorkerRequests[K][0];
    /** How it ended; absent when the window was closed on it and nobody has been told. */
    readonly end?: JobEnd;
  };
}[ResumableKind];

/** Which jobs are meant. */
export interface JobFilter {
  readonly kind?: ResumableKind;
  /** Path of the model. */
  readonly model?: string;
  /** Path of the new folder. */
  readonly out?: string;
}

/** What shows how a job of a model ended. */
interface StoppedSession {
  readonly model: { readonly path: string };
  readonly job: PanelJob<string>;
}

const key = 'interruptedJobs';

/** The workspace's memory of jobs that can be gone on with. */
export class InterruptedJobs {
  readonly #discarded = new Signal<InterruptedJob>();
  readonly #memento: Pick<Memento, 'get' | 'update'>;
  readonly #jobs: Pick<Jobs, 'assertFree'>;

  public constructor(memento: Pick<Memento, 'get' | 'update'>, jobs: Pick<Jobs, 'assertFree'>) {
    this.#memento = memento;
    this.#jobs = jobs;
  }

  public get all(): readonly InterruptedJob[] {
    return this.#memento.get<readonly InterruptedJob[]>(key, []);
  }

  public find({ kind, model, out }: JobFilter): InterruptedJob[] {
    return this.all.filter(
      (job) =>
        (kind === undefined || kind === job.kind) &&
        (model === undefined || model === job.request.model) &&
        (out === undefined || out === job.request.out),
    );
  }

  /**
   * Runs a job that is remembered until it ends well, or in a way that would be the same the next time.
   * @throws UserError where another job runs: what is remembered stays, then.
   */
  public async keep<T>(job: InterruptedJob, run: () => Promise<T>): Promise<T> {
    this.#jobs.assertFree();
    // Stays where the window closes meanwhile.
    await this.#put(job);
    try {
      const result = await run();
      await this.#forget(job);
      return result;
    } catch (error) {
      const end = { reason: reasonOf(error), message: describeInPanel(error) };
      await (isFinal(error) ? this.#forget(job) : this.#put({ ...job, end }));
      throw error;
    }
  }

  /** Jobs that the window was closed on and nobody has been told of; by now somebody is. */
  public async takeUntold(): Promise<readonly InterruptedJob[]> {
    const untold = this.all.filter(({ end }) => end === undefined);
    for (const job of untold) {
      await this.#put({ ...job, end: endOf(job) });
    }
    return untold;
  }

  /**
   * Forgets a job together with what it has done, unless it has ended well since or runs again. What stands at
   * its `out` stays.
   */
  public async discard({ kind, request: { model, out } }: InterruptedJob): Promise<void> {
    const [job] = this.find({ kind, model, out });
    if (job?.end === undefined) {
      return;
    }
    await this.#forget(job);
    this.#discarded.fire(job);
    await rm(workFolder(out, kind), { recursive: true, force: true });
  }

  /** Calls `tell` with those of the sessions that have offered to go on with a job which is discarded. */
  public onDiscard<Session extends StoppedSession>(
    sessions: ReadonlyMap<string, Session>,
    tell: (session: Session) => void,
  ): Pick<Disposable, 'dispose'> {
    return this.#discarded.listen(({ kind, request }) => {
      for (const session of sessions.values()) {
        const { job, model } = session;
        if (job.kind === 'stopped' && job.what === kind && model.path === request.model) {
          tell(session);
        }
      }
    });
  }

  async #forget(job: InterruptedJob): Promise<void> {
    await this.#memento.update(key, this.#without(job));
  }

  async #put(job: InterruptedJob): Promise<void> {
    await this.#memento.update(key, [...this.#without(job), job]);
  }

  #without({ kind, request }: InterruptedJob): InterruptedJob[] {
    return this.all.filter((other) => other.kind !== kind || other.request.model !== request.model);
  }
}

/** What is wrong with a request is wrong the next time too. */
export const isFinal = (error: unknown): boolean => error instanceof WorkerRequestError;

export function endOf({ end }: InterruptedJob): JobEnd {
  return end ?? { reason: 'crashed', message: l10n.t('The window was closed while the job ran.') };
}
