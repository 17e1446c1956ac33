/** Training settings of a repair. */
export interface RepairSettings {
  /** Maximum number of epochs. */
  readonly epochs: number;
  /** Sequences per step. */
  readonly batch: number;
  /** Learning rate of Adam, relative to the root mean square of the smallest trained tensor. */
  readonly rate: number;
  /** Epochs without a lower held-out error after which training stops. */
  readonly patience: number;
  readonly seed: number;
}

/** Default settings except for the epochs, which depend on the amount of text. */
export const defaultRepair: Omit<RepairSettings, 'epochs'> = {
  batch: 4,
  rate: 0.03,
  patience: 2,
  seed: 0,
};

/** Scope of training: one sublayer at a time, the full model, or first the sublayers and then the model. */
export const repairScopes = ['sublayers', 'model', 'both'] as const;
export type RepairScope = (typeof repairScopes)[number];

/** Default training text: more text read fewer times is better (bench/compactifai/NOTES.md). */
export const defaultRepairText = { sequences: 512, length: 128 };

/** Number of epochs needed to read `wanted` sequences, at most two. */
export const epochsToRead = (sequences: number, wanted: number): number =>
  Math.min(2, Math.max(1, Math.round(wanted / sequences)));
