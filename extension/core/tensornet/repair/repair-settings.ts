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

/** All but the passes, which depend on how much text there is. */
export const defaultRepair: Omit<RepairSettings, 'epochs'> = {
  batch: 4,
  rate: 0.03,
  patience: 2,
  seed: 0,
};

/** What is trained at a time: each sublayer by itself, the full model, or first the one and then the other. */
export const repairScopes = ['sublayers', 'model', 'both'] as const;
export type RepairScope = (typeof repairScopes)[number];

/** Text to learn from: more of it, read fewer times, is better (bench/compactifai/NOTES.md). */
export const defaultRepairText = { sequences: 512, length: 128 };

/** Passes over a text, as many as it takes to read `wanted` sequences, but not more than two. */
export const passesOver = (sequences: number, wanted: number): number =>
  Math.min(2, Math.max(1, Math.round(wanted / sequences)));
