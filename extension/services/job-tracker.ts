import type { ModelSummary } from '../core/models/model-summary';
import type { PanelJob } from '../protocol/heatmap';
import type { Jobs, JobSubject } from './jobs';
import { describeInPanel } from './report-error';
import { assertAllowed } from './trust';
import { RequestCancelled, WorkerCrashed } from './worker-errors';

/** What a panel shows the jobs of. */
export interface TrackedSession<What extends string> {
  readonly model: Pick<ModelSummary, 'name' | 'path'>;
  /** Why jobs may not run, if so. */
  readonly blocked: string | undefined;
  setJob(job: PanelJob<What>): void;
}

/** How a job is tracked. */
export interface Tracking<What extends string> {
  readonly what: What;
  /** Whether a panel shows the session now. */
  readonly isShown: () => boolean;
  /** Whether what is done is kept when the job stops. */
  readonly resumable: (error: unknown) => boolean;
}

/** Keeps sessions in step with the jobs that run for them. */
export class JobTracker {
  readonly #jobs: Pick<Jobs, 'assertFree'>;
  readonly #shownErrors = new WeakSet();

  public constructor(jobs: Pick<Jobs, 'assertFree'>) {
    this.#jobs = jobs;
  }

  /** @throws UserError where nothing may run, or another job does; and what the job throws. */
  public async track<What extends string, T>(
    session: TrackedSession<What>,
    { what, isShown, resumable }: Tracking<What>,
    task: (subject: JobSubject) => Promise<T>,
  ): Promise<T> {
    assertAllowed(session.blocked);
    this.#jobs.assertFree();
    session.setJob({ kind: 'running', what, progress: undefined });
    try {
      const result = await task({
        name: session.model.name,
        model: session.model.path,
        shownInPanel: isShown(),
        onProgress: (progress) => {
          session.setJob({ kind: 'running', what, progress });
        },
      });
      session.setJob({ kind: 'idle' });
      return result;
    } catch (error) {
      session.setJob({
        kind: 'stopped',
        what,
        reason: reasonOf(error),
        message: describeInPanel(error),
        resumable: resumable(error),
      });
      if (error instanceof Error && isShown()) {
        this.#shownErrors.add(error);
      }
      throw error;
    }
  }

  /** Whether a panel tells of an error, so that no notification is needed. */
  public hasShown(error: unknown): boolean {
    return error instanceof Error && this.#shownErrors.has(error);
  }
}

/** How a job ended. */
export function reasonOf(error: unknown): 'cancelled' | 'failed' | 'crashed' {
  if (error instanceof RequestCancelled) {
    return 'cancelled';
  }
  return error instanceof WorkerCrashed ? 'crashed' : 'failed';
}
