import type { EventOf } from '../../protocol/worker';
import type { JobRecord } from './job-record';
import type { Operation, ResultOf } from './operations';

/** What came of a job. */
export interface JobOutcome {
  /** A sentence with the numbers that matter. */
  readonly summary: string;
  /** Whether what was shown during the job shows the result too, so that nobody needs to be told. */
  readonly shown?: boolean;
  /** Whether something was written that is not as good as was asked for. */
  readonly isWarning?: boolean;
  /** Whether nothing was written, so that there is nothing to open. */
  readonly writesNothing?: boolean;
}

/** How the host takes part in the jobs of an operation, whoever has started or resumed them. */
export interface JobHandler<O extends Operation> {
  /** The job begins to run; `resumed` where it has run before. */
  readonly begin?: (job: JobRecord<O>, resumed: boolean) => unknown;
  /** A partial result. */
  readonly event?: (event: EventOf<O>, job: JobRecord<O>) => void;
  /** The job has a result. */
  readonly done: (result: ResultOf<O>, job: JobRecord<O>) => Promise<JobOutcome> | JobOutcome;
  /** The job has stopped without one. */
  readonly stopped?: (job: JobRecord<O>) => unknown;
  /** Whether a panel shows the job now. */
  readonly isShown?: (job: JobRecord<O>) => boolean;
}
