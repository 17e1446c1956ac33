import type { Dataset } from '../../data/datasets/dataset';
import type { EmbeddingRequest } from '../neighbors/embed-examples';
import type { ProxyModel } from '../training/proxy-model';
import type { RunFolder } from '../training/run-folder';
import type { ScoreKind, ScoreDocument } from './score-document';
import type { FitRequest } from '../training/training-settings';

/** Dataset and settings of a scoring job. */
export interface ScoreRequest extends FitRequest {
  readonly score: ScoreKind;
  /** Number of independent runs, with seeds 0, 1, …, over which scores are averaged. */
  readonly runs: number;
  /** Number of epochs trained before scoring; 0 scores at initialization. */
  readonly epoch: number;
  /** Also computes an embedding. */
  readonly embedding?: EmbeddingRequest;
  /** Folder for finished runs while the job is running. */
  readonly folder: string;
  /** Keeps the runs after the job is done; removed by default. */
  readonly keepRuns?: boolean;
  /** Writes the result before the runs are removed, so that a full disk loses nothing. */
  readonly write?: (document: ScoreDocument) => Promise<void>;
}

/** State shared by the runs of a scoring job. */
export interface ScoringJob {
  readonly request: ScoreRequest;
  readonly dataset: Dataset;
  readonly labels: Int32Array;
  readonly proxy: ProxyModel;
  readonly folder: RunFolder;
}
