import type { Dataset } from '../../data/datasets/dataset';
import type { EmbeddingRequest } from '../neighbors/embed-examples';
import type { ProxyModel } from '../training/proxy-model';
import type { RunFolder } from '../training/run-folder';
import type { ScoreKind, ScoreDocument } from './score-document';
import type { FitRequest } from '../training/train-request';

/** Which data set is scored, and how. */
export interface ScoreRequest extends FitRequest {
  readonly score: ScoreKind;
  /** Independent trainings over which scores are averaged, with seeds 0, 1, … */
  readonly runs: number;
  /** Epochs trained before scoring; 0 scores at initialisation. */
  readonly epoch: number;
  /** Asks for an embedding beside the scores. */
  readonly embedding?: EmbeddingRequest;
  /** Folder that keeps finished runs while the job works. */
  readonly folder: string;
  /** Leave them there when all is done; they are removed if absent. */
  readonly keepRuns?: boolean;
  /** Writes the result, before they are removed: a full disk then costs nothing. */
  readonly write?: (document: ScoreDocument) => Promise<void>;
}

/** Everything that runs of scoring share. */
export interface ScoringJob {
  readonly request: ScoreRequest;
  readonly dataset: Dataset;
  readonly labels: Int32Array;
  readonly proxy: ProxyModel;
  readonly folder: RunFolder;
}
