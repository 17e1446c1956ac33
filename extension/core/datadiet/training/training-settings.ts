import type { DatasetOptions } from '../../data/datasets/dataset';
import type { ProxyRequest } from './proxy-model';

/** Training settings of proxy models: SGD with Nesterov momentum. */
export interface TrainingSettings {
  readonly batchSize: number;
  readonly learningRate: number;
  /** Constant, or cosine decay to 0 at the last step. */
  readonly schedule: 'constant' | 'cosine';
  readonly momentum: number;
  readonly weightDecay: number;
  /**
   * Threads per step; by default one for built-in models, otherwise one per core. The last bits of results may depend
   * on it.
   */
  readonly threads?: number;
}

export const schedules = ['constant', 'cosine'] as const;

/** Settings of the EL2N authors, except the learning rate, which suits a few epochs of a small model. */
export const defaultTraining: TrainingSettings = {
  batchSize: 128,
  learningRate: 0.05,
  schedule: 'constant',
  momentum: 0.9,
  weightDecay: 5e-4,
};

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
