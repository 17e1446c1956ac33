import type { Evaluation } from '../../core/evaluate/evaluation';
import type { EventOf } from '../../protocol/worker';
import type { JobRecord } from './job-record';
import type { Operation, ResultOf } from './operations';

/** Part that the host takes in the jobs of an operation, whoever has started or resumed them. */
export interface JobFollower<O extends Operation> {
  /** The job begins to run; `resumed` if it has run before. */
  readonly begin?: (job: JobRecord<O>, resumed: boolean) => unknown;
  /** A partial result. */
  readonly event?: (event: EventOf<O>, job: JobRecord<O>) => void;
  /** The job has a result. */
  readonly done?: (result: ResultOf<O>, job: JobRecord<O>) => unknown;
  /** Evaluation of the unchanged model, for the sentence about the result. Asked after `done`. */
  readonly original?: (job: JobRecord<O>) => Evaluation | undefined;
  /** The job has stopped without one. */
  readonly stopped?: (job: JobRecord<O>) => unknown;
  /** True if a panel shows the job now. */
  readonly isShown?: (job: JobRecord<O>) => boolean;
}
