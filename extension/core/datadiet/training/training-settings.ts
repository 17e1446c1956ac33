/** How proxies are trained: stochastic gradient descent with Nesterov's momentum. */
export interface TrainingSettings {
  readonly batchSize: number;
  readonly learningRate: number;
  /** Constant, or along half a cosine to 0 at the last step. */
  readonly schedule: 'constant' | 'cosine';
  readonly momentum: number;
  readonly weightDecay: number;
  /**
   * Threads that work on one step; if absent one for the models that come with Espalier, else one for each
   * core. The last bits may depend on it.
   */
  readonly threads?: number;
}

export const schedules = ['constant', 'cosine'] as const;

/** The authors' but for the learning rate, which suits a few epochs of a small model. */
export const defaultTraining: TrainingSettings = {
  batchSize: 128,
  learningRate: 0.05,
  schedule: 'constant',
  momentum: 0.9,
  weightDecay: 5e-4,
};
