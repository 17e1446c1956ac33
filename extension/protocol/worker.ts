import type { Piece } from './pieces';
import type { StageProgress, WorkerProgress } from '../core/jobs/job';
import type { Message } from '../core/message';
import type { ErrorCode } from '../core/error-codes';
import type { ErrorSubject } from '../core/user-error';
import type { OperationContext } from '../core/operations/operation';
import type { ConverseRequest, GenerationResult } from '../core/operations/generate';
import type { EstimateRequest } from '../core/operations/estimate';
import type { OperationId, OperationOf } from '../core/operations/operations';

/** Request and result of an operation. */
type OperationRequest<Id extends OperationId> = [
  Parameters<OperationOf<Id>['run']>[0],
  Awaited<ReturnType<OperationOf<Id>['run']>>,
];

/**
 * Requests answered by the worker, as [params, result]: every operation, and how long one would take. Each is cancelled by
 * vscode-jsonrpc's cancellation token and reports through {@link JobNotification} under the `job` id it
 * was sent with.
 */
export type WorkerRequests = { readonly [Id in OperationId]: OperationRequest<Id> } & {
  /** Seconds by earlier runs on this machine or a short one; null where neither tells, or it is little work. */
  readonly expect: [EstimateRequest, number | null];
  /** Same as `generate`, continuing earlier turns; the models stay open for the next prompt. */
  readonly converse: [ConverseRequest, GenerationResult];
};

/** A complete request of an operation. */
export type RequestOfOperation<Id extends OperationId> = OperationRequest<Id>[0];

type OperationEvent<Id extends OperationId> =
  Parameters<OperationOf<Id>['run']>[1] extends OperationContext<infer E> ? E : never;

/** Partial results that jobs tell, by request. */
export type WorkerEvents = {
  readonly [Id in OperationId]: OperationEvent<Id>;
};
export type JobEvent = WorkerEvents[keyof WorkerEvents];
/** Events of a request; never if it is not in {@link WorkerEvents}. */
export type EventOf<M> = M extends keyof WorkerEvents ? WorkerEvents[M] : never;

/** Requests of a child process, by method, as [params, result]. */
export type Requests<R> = { readonly [M in keyof R]: [object, unknown] };

/** Parameters as they travel: the request and the id its notifications carry. */
export interface JobEnvelope<Request = unknown> {
  readonly job: number;
  /** Undefined if the request was sent in pieces. */
  readonly request?: Request;
  /** True if the answer comes as a {@link SentPiece}, and the rest by {@link nextPiece}. */
  readonly answersInPieces?: true;
}

/** Name on the wire of a {@link RequestPiece}; pieces come before the request. */
export const requestPiece = 'request-piece';

export interface RequestPiece {
  readonly job: number;
  readonly piece: Piece;
}

/** Name on the wire of the request for the next piece of an answer, with its `job`. */
export const nextPiece = 'next-piece';

/** The only notification of the worker: an event of a running job. */
export interface JobNotification {
  readonly job: number;
  readonly message:
    | { readonly kind: 'progress'; readonly progress: StageProgress }
    | { readonly kind: 'event'; readonly event: JobEvent }
    | { readonly kind: 'warning'; readonly warning: Message }
    | { readonly kind: 'information'; readonly information: Message }
    | { readonly kind: 'workers'; readonly workers: readonly WorkerProgress[] };
}

/** Name of {@link JobNotification} on the wire. */
export const jobNotification = 'job';

/** `data` of a JSON-RPC error: the kind of failure. */
export type WorkerErrorData =
  | {
      readonly kind: 'user';
      readonly code: ErrorCode;
      readonly problem: Message;
      readonly subject: ErrorSubject;
    }
  | { readonly kind: 'cancelled' | 'internal' };
