import type { DatasetOptions } from '../../data/datasets/dataset';
import type { ProxyRequest } from './proxy-model';
import type { TrainingSettings } from './training-settings';

/** Settings shared by all trainings of an experiment, as plain data. */
export interface FitRequest {
  readonly data: string;
  readonly options: DatasetOptions;
  /** Path of separate test data. */
  readonly test?: string;
  readonly proxy: ProxyRequest;
  readonly training: TrainingSettings;
  /** Share of labels flipped for a label noise study. */
  readonly noise?: { readonly rate: number; readonly seed: number };
}

export interface TrainRequest extends Omit<FitRequest, 'noise'> {
  readonly epochs: number;
  /** Number of runs, with seeds 0, 1, … */
  readonly seeds: number;
  /** Folder for the weights and results of every run. */
  readonly out: string;
}
