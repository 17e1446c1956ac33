import type { TaskJob } from '../jobs/child-task';
import type { OpenedModel } from '../models/opened-model';
import type { PieceLimits } from './local-engine';
import type { PieceSetup } from './piece';

/** Does the pieces of one setup, wherever they are sent. */
export interface PieceDoer {
  /**
   * Requests come in any order and may come twice.
   * @throws Error for what is no request
   */
  do(request: unknown, job: TaskJob): Promise<unknown>;
  /** Numbers of the model on its inputs, to hold against those of other machines. */
  probe(): Promise<readonly number[]>;
  dispose(): Promise<void>;
}

/** What a worker has to do pieces with. */
export interface PieceMeans extends PieceLimits {
  /** Paths by what they are for. */
  readonly files: Readonly<Record<string, string>>;
  /** Opens the model, or another one by what it is for. */
  readonly openModel: (name?: string) => Promise<OpenedModel>;
  /** Folder of the texts and the model that come with Espalier. */
  readonly samples: string;
  /** A folder for work in progress that all who do pieces of the job on this machine use. */
  readonly kept: string;
  /** A folder for work in progress, which nobody else uses. */
  readonly scratch: string;
}

/** Opens what pieces of a kind are done with. */
export type OpenPieces = (data: PieceSetup['data'], means: PieceMeans) => Promise<PieceDoer>;
