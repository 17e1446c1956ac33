import { createHash } from 'node:crypto';
import * as v from 'valibot';
import type { TaskJob } from '../jobs/child-task';
import type { Message } from '../message';
import type { DeviceName } from '../runtime/device';
import { onnxRuntimeVersion } from '../runtime/version';

/** What pieces read: on other machines it is found by its fingerprint, and its path stays on this one. */
export interface PieceFile {
  readonly fingerprint: string;
  readonly path: string;
}

/** What is cut into pieces: who does them, and what all of them share. Plain data and typed arrays. */
export interface PieceSetup {
  /** Names who does the pieces. */
  readonly kind: string;
  /** Tells it from all others. */
  readonly key: string;
  /** Models and data sets that they read, by what they are for. */
  readonly files: Readonly<Record<string, PieceFile>>;
  readonly data: unknown;
  /** A folder for work in progress, which the job removes; it stays on this machine, too. All workers of it share it. */
  readonly scratch?: string;
}

/** A part of a job that depends on no other: whoever does it gets the same result. */
export interface Piece<Result = unknown> {
  /** Tells it from all other pieces of all jobs. */
  readonly key: string;
  /** Pieces of one lane are best done by one worker, who keeps what the next one needs. */
  readonly lane: number;
  /** What it takes, in any unit that all pieces share. */
  readonly cost: number;
  /** Plain data. */
  readonly request: unknown;
  /** What its result looks like, wherever it comes from. */
  readonly result: v.GenericSchema<unknown, Result>;
  /** Whether it is done in this process, which has to see how. */
  readonly home?: boolean;
}

/** Does pieces of one job, one at a time. */
export interface PieceWorker {
  /** A process, or a place on another machine. */
  readonly name: Message;
  /**
   * @returns what the piece says that its result looks like
   * @throws WorkerLostError when it was gone before the piece was done; what the piece threw otherwise
   */
  do(piece: Piece, job: TaskJob): Promise<unknown>;
}

/** Whoever hands out pieces to workers, which come and go. */
export interface Crew {
  join(worker: PieceWorker): void;
  retire(worker: PieceWorker): void;
  /** @param why for people, where it was lost */
  leave(worker: PieceWorker, why: string): void;
}

/** What workers are found with. */
export interface HireMeans {
  /** Numbers of the model on its inputs, as this process computes them. */
  readonly probe: () => Promise<readonly number[]>;
  readonly warn: (message: Message) => void;
  readonly inform: (message: Message) => void;
}

/** Where workers come from. */
export interface Engine {
  /** Threads that each may use for one operator; one for each core if absent. */
  readonly threads?: number | undefined;
  /** How many work at most, this process included; nobody knows if absent. */
  readonly size?: number | undefined;
  /** Share of the memory setting that each may take. */
  readonly memoryShare: number;
  /** Bytes of arrays that the result of a piece may have; any number if absent. */
  readonly mostResultBytes?: number | undefined;
  /**
   * Finds workers for one job, which join the crew.
   * @returns what lets them go
   */
  hire(setup: PieceSetup, crew: Crew, means: HireMeans): Promise<() => Promise<void>>;
}

/** What a worker is asked for instead of a piece, to compare its numbers. */
export const probeRequest = 'probe';
export const probeSchema = v.array(v.number());

/** The key of a setup: numbers are those of a device, and of a version of ONNX Runtime. */
export const setupKeyOf = (job: string, device: DeviceName): string =>
  createHash('sha256')
    .update(JSON.stringify([job, device, onnxRuntimeVersion()]))
    .digest('hex');

/** The key of a piece: of what it shares with others, and what is asked of it. */
export function pieceKey(setup: Pick<PieceSetup, 'key'>, request: unknown): string {
  return createHash('sha256')
    .update(JSON.stringify([setup.key, request]))
    .digest('hex');
}
