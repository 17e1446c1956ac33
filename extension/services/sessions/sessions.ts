import { Disposable } from 'vscode';
import type { PanelName } from '../../core/operations/presentation';
import type { PanelJob } from '../../protocol/jobs';
import type { JobRecord } from '../jobs/job-record';
import type { JobService } from '../jobs/job-service';
import { latestWarnings, panelJobs, selectPanelJob } from '../jobs/panel-job';
import { refreshOnTrust } from '../trust';

interface Session {
  readonly job: PanelJob;
  /** @param warnings what the worker has warned of in the latest job */
  setJob(job: PanelJob, warnings: readonly string[]): void;
  refreshBlocked(): void;
}

/**
 * Sessions of all panels of a kind, by document. Each is informed about its jobs and workspace
 * trust.
 */
export abstract class Sessions<S extends Session> implements Disposable {
  protected readonly jobs: JobService;
  /** Panel of the sessions, as operations declare it. */
  protected abstract readonly panel: PanelName;
  readonly #sessions = new Map<string, S>();
  readonly #listening: Disposable;

  protected constructor(jobs: JobService) {
    this.jobs = jobs;
    this.#listening = Disposable.from(
      refreshOnTrust(() => this.known),
      jobs.changed.listen((job) => {
        for (const session of this.known) {
          // The place of a job that waits changes with others.
          if (this.isAbout(job, session) || session.job.kind === 'queued') {
            this.#tellJob(session);
          }
        }
      }),
    );
  }

  public dispose(): void {
    this.#listening.dispose();
  }

  protected get known(): readonly S[] {
    return [...this.#sessions.values()];
  }

  /** The session of a document that need not have been written yet, if it has been opened. */
  protected find(file: string): S | undefined {
    return this.#sessions.get(file);
  }

  /** The session of a document that something else has written, unless its job writes it now. */
  protected idle(file: string): S | undefined {
    const session = this.find(file);
    return session?.job.kind === 'running' ? undefined : session;
  }

  protected add(file: string, session: S): S {
    this.#sessions.set(file, session);
    this.#tellJob(session);
    return session;
  }

  /** Opens a session that is not there yet, or whose model has changed since, unless a job runs in it. */
  protected async openAt(
    file: string,
    isCurrent: (session: S) => boolean,
    make: () => Promise<S>,
  ): Promise<S> {
    const known = this.find(file);
    if (known !== undefined && (known.job.kind === 'running' || isCurrent(known))) {
      return known;
    }
    const made = await make();
    const raced = this.find(file);
    return raced === undefined || raced === known ? this.add(file, made) : raced;
  }

  /** True if a job of the panel belongs to a session. */
  protected abstract isAbout(job: JobRecord, session: S): boolean;

  /** All jobs of a session, the latest first. */
  protected listJobs(session: S): readonly JobRecord[] {
    return panelJobs(this.jobs.jobs, this.panel, (job) => this.isAbout(job, session));
  }

  #tellJob(session: S): void {
    const jobs = this.listJobs(session);
    session.setJob(selectPanelJob(this.jobs, jobs), latestWarnings(jobs));
  }
}
