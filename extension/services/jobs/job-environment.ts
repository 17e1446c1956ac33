import type { RequestWatch } from '../worker/worker-process';
import type { JobStore } from './job-store';
import type { Lane, Operation } from './operations';
import type { Translate } from '../../core/message';

/** A child process that runs the jobs of a lane. */
export interface JobRunner {
  request(method: string, request: object, watch: RequestWatch): Promise<unknown>;
}

/** Dependencies of the job service. */
export interface JobEnvironment {
  readonly lanes: Readonly<Record<Lane, JobRunner>>;
  readonly store: Pick<JobStore, 'load' | 'save'>;
  /** A stored request with the password of its queue. */
  readonly withPassword: (request: object) => object;
  /** Estimated seconds of an operation, from earlier runs; null if unknown. */
  readonly estimate: (operation: Operation, request: object) => Promise<number | null>;
  /** Rejects with a UserError if a model of a request can't do what the operation requires. */
  readonly check: (operation: Operation, request: object) => Promise<void>;
  readonly log: {
    info(text: string, ...details: readonly unknown[]): void;
    warn(text: string): void;
    error(error: Error): void;
  };
  readonly translate: Translate;
  readonly describeError: (error: unknown) => string;
}
