import type { DatasetOptions } from '../../data/datasets/dataset';
import type { ProxyRequest } from './proxy-model';
import type { TrainingSettings } from './training-settings';

export interface TrainRequest {
  readonly data: string;
  readonly options: DatasetOptions;
  /** Where the test data lies, if not in the data set. */
  readonly test?: string;
  readonly proxy: ProxyRequest;
  readonly epochs: number;
  /** Runs, with seeds 0, 1, … */
  readonly seeds: number;
  readonly training: TrainingSettings;
  /** Folder for the weights and results of every run. */
  readonly out: string;
}
