/** How repair trains. */
export interface RepairSettings {
  /** Passes over the training data at most. */
  readonly epochs: number;
  /** Sequences of one step. */
  readonly batch: number;
  /** Learning rate of Adam, in units of the root mean square of the smallest tensor that is trained. */
  readonly rate: number;
  /** Epochs without a lower held-out error after which training stops. */
  readonly patience: number;
  readonly seed: number;
}

export const defaultRepair: RepairSettings = {
  epochs: 2,
  batch: 4,
  rate: 0.03,
  patience: 2,
  seed: 0,
};

/** Text to learn from: more of it, read fewer times, is better (docs/research/compactifai.md). */
export const defaultRepairText = { sequences: 256, length: 128 };
