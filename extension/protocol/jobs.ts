import type { QueuePosition } from '../core/jobs/describe-progress';
import type { StageProgress } from '../core/jobs/job';

/** Progress of a job, in the editor's language. */
export type JobProgress = Omit<StageProgress, 'stage'> & { readonly stage: string };

/** The job that a panel tells of, if there is one. `id` is that of the job service. */
export type PanelJob<What extends string> =
  | { readonly kind: 'idle' }
  | {
      readonly kind: 'queued';
      readonly id: string;
      readonly what: What;
      readonly position: QueuePosition;
    }
  | {
      readonly kind: 'running';
      readonly id: string;
      readonly what: What;
      readonly progress: JobProgress | undefined;
    }
  /** The last job ended without a result. */
  | {
      readonly kind: 'stopped';
      readonly id: string;
      readonly what: What;
      readonly reason: 'cancelled' | 'failed' | 'crashed' | 'closed';
      readonly message: string;
      /** Work that Resume does not repeat; undefined if there is nothing to resume. */
      readonly saved?: string;
    };
