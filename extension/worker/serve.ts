import process from 'node:process';
import {
  createMessageConnection,
  IPCMessageReader,
  IPCMessageWriter,
  ResponseError,
} from 'vscode-jsonrpc/node';
import type { CancellationToken } from 'vscode-jsonrpc/node';
import { CancelledError } from '../core/jobs/job';
import type { JobContext } from '../core/jobs/job';
import { endWithParent } from '../core/jobs/parent-watchdog';
import { UserError } from '../core/user-error';
import { cutPieces, Joiner } from '../protocol/pieces';
import type { SentPiece } from '../protocol/pieces';
import { jobNotification, nextPiece, requestPiece } from '../protocol/worker';
import type {
  JobEnvelope,
  JobEvent,
  JobNotification,
  RequestPiece,
  Requests,
  WorkerErrorData,
} from '../protocol/worker';

/** Handlers of the requests of a child process. */
export type Handlers<R extends Requests<R>> = {
  readonly [M in keyof R]: (request: R[M][0], context: JobContext<JobEvent>) => Promise<R[M][1]>;
};

/** Requests come from the host's typed client, so their type is known. */
type Handler = (request: unknown, context: JobContext<JobEvent>) => Promise<unknown>;

/** Answers the parent process until it exits. */
export function serve<R extends Requests<R>>(handlers: Handlers<R>): void {
  const connection = createMessageConnection(
    new IPCMessageReader(process),
    new IPCMessageWriter(process),
  );
  const createContext = (job: number, cancellation: CancellationToken): JobContext<JobEvent> => {
    const send = (message: JobNotification['message']): void => {
      void connection.sendNotification(jobNotification, { job, message } satisfies JobNotification);
    };
    return {
      cancellation,
      progress: (progress) => {
        send({ kind: 'progress', progress });
      },
      emit: (event) => {
        send({ kind: 'event', event });
      },
      warn: (warning) => {
        send({ kind: 'warning', warning });
      },
      inform: (information) => {
        send({ kind: 'information', information });
      },
      share: (workers) => {
        send({ kind: 'workers', workers });
      },
    };
  };
  /** Remaining pieces of answers that the client hasn't requested yet. */
  const rest = new Map<number, Iterator<SentPiece, undefined>>();
  const nextPieceOrNull = (
    job: number,
    pieces: Iterator<SentPiece, undefined>,
  ): SentPiece | null => {
    const { value = null } = pieces.next();
    if (value?.isLast === false) {
      rest.set(job, pieces);
    } else {
      rest.delete(job);
    }
    return value;
  };
  connection.onRequest(nextPiece, ({ job }: { readonly job: number }) => {
    const pieces = rest.get(job);
    return pieces === undefined ? null : nextPieceOrNull(job, pieces);
  });
  /** Incomplete requests that arrive in pieces. */
  const coming = new Map<number, Joiner>();
  connection.onRequest(requestPiece, ({ job, piece }: RequestPiece) => {
    const joiner = coming.get(job) ?? new Joiner();
    coming.set(job, joiner);
    joiner.add(piece);
    return null;
  });
  for (const [method, handler] of Object.entries(handlers)) {
    connection.onRequest(
      method,
      async (
        { job, answersInPieces: cuts, ...envelope }: JobEnvelope,
        token: CancellationToken,
      ) => {
        const { value: request = envelope.request } = coming.get(job) ?? {};
        coming.delete(job);
        try {
          const answer = await (handler as Handler)(request, createContext(job, token));
          return cuts === true ? nextPieceOrNull(job, cutPieces(answer)) : answer;
        } catch (error) {
          return toResponseError(error);
        }
      },
    );
  }
  endWithParent();
  connection.listen();
}

function toResponseError(error: unknown): ResponseError<WorkerErrorData> {
  if (error instanceof CancelledError) {
    return new ResponseError(-32_800, error.message, { kind: 'cancelled' });
  }
  if (error instanceof UserError) {
    return new ResponseError(-32_000, error.message, {
      ...{ kind: 'user', code: error.code, problem: error.problem, subject: error.subject },
    });
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new ResponseError(-32_603, text, { kind: 'internal' });
}
