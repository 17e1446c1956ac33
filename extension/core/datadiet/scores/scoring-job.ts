import type { Dataset, DatasetOptions } from '../../data/datasets/dataset';
import type { ProxyModel, ProxyRequest } from '../training/proxy-model';
import type { RunFolder } from '../training/run-folder';
import type { ScoreKind, ScoreDocument } from './score-document';
import type { TrainingSettings } from '../training/training-settings';

/** Which data set is scored, and how. */
export interface ScoreRequest {
  readonly data: string;
  readonly options: DatasetOptions;
  /** Where the test data lies, if only the training part is scored and the test part is elsewhere. */
  readonly test?: string;
  readonly proxy: ProxyRequest;
  readonly score: ScoreKind;
  /** Independent trainings over which scores are averaged, with seeds 0, 1, … */
  readonly runs: number;
  /** Epochs trained before scoring; 0 scores at initialisation. */
  readonly epoch: number;
  readonly training: TrainingSettings;
  /** Study of label noise: share of labels that are flipped. */
  readonly noise?: { readonly rate: number; readonly seed: number };
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
