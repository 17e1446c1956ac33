import type { DatasetOptions } from '../../data/datasets/dataset';
import type { ProxyRequest } from './proxy-model';
import type { TrainingSettings } from './training-settings';

/** What every training of an experiment shares, as plain data. */
export interface FitRequest {
  readonly data: string;
  readonly options: DatasetOptions;
  /** Where the test data lies, if not in the data set. */
  readonly test?: string;
  readonly proxy: ProxyRequest;
  readonly training: TrainingSettings;
  /** Study of label noise: share of labels that are flipped. */
  readonly noise?: { readonly rate: number; readonly seed: number };
}

export interface TrainRequest extends Omit<FitRequest, 'noise'> {
  readonly epochs: number;
  /** Runs, with seeds 0, 1, … */
  readonly seeds: number;
  /** Folder for the weights and results of every run. */
  readonly out: string;
}
