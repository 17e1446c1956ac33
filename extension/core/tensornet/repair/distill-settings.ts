import type { RepairSettings } from './repair-settings';

/** Settings of training quantization blocks. The rate is in units of the distance between two codes. */
export type DistillSettings = Pick<RepairSettings, 'epochs' | 'batch' | 'rate' | 'patience'>;

/** Found by bench/distill. */
export const defaultDistillation: DistillSettings = {
  epochs: 4,
  batch: 4,
  rate: 0.02,
  patience: 2,
};
