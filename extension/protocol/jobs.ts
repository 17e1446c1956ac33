import type { QueuePosition } from '../core/describe-progress';
import type { StageProgress } from '../core/jobs/job';

/** Progress of a job, in the editor's language. */
export type JobProgress = Omit<StageProgress, 'stage'> & { readonly stage: string };

interface NamedJob {
  /** Id in the job service. */
  readonly id: string;
  /** Name in the editor's language, such as `Profiling`. */
  readonly name: string;
  /** True if the job makes the document that the panel shows. */
  readonly makesDocument: boolean;
}

/** Job that a panel shows, if there is one. */
export type PanelJob =
  | { readonly kind: 'idle' }
  | (NamedJob & { readonly kind: 'queued'; readonly position: QueuePosition })
  | (NamedJob & { readonly kind: 'running'; readonly progress: JobProgress | undefined })
  /** The last job ended without a result. */
  | (NamedJob & {
      readonly kind: 'stopped';
      readonly reason: 'cancelled' | 'failed' | 'crashed' | 'closed';
      readonly message: string;
      /** Work that Resume does not repeat; undefined if there is nothing to resume. */
      readonly saved?: string;
    });
