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
