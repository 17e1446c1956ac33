/** Settings of training quantization blocks. */
export interface DistillSettings extends Pick<RepairSettings, 'epochs' | 'batch' | 'patience'> {
  /** Learning rate, in units of the distance between two integers of a scale; a block's unit counts as 16. */
  readonly rate: number;
}

export const defaultDistillation: DistillSettings = {
  ...{ epochs: 4, batch: 4, patience: 2 },
  rate: 0.03,
};

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

/** Cost limits of a repair. */
interface RepairCost {
  /** Sequences to read, repeating short texts; a part of them is held out. */
  readonly sequences: number;
  /** Scope of training if layers are compressed and the full model fits into memory. */
  readonly compressed: RepairScope;
}

const { sequences } = defaultRepairText;

export const effortNames = ['quick', 'standard', 'thorough'] as const;
export type RepairEffort = (typeof effortNames)[number];

/** Settings per effort: more text is better than more passes over the same text. */
export const repairEfforts: Readonly<Record<RepairEffort, RepairCost>> = {
  quick: { sequences: sequences / 4, compressed: 'sublayers' },
  standard: { sequences, compressed: 'both' },
  thorough: { sequences: 4 * sequences, compressed: 'both' },
};
