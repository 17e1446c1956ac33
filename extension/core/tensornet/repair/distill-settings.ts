import type { RepairSettings } from './repair-settings';

/** Settings of training quantization blocks. */
export interface DistillSettings extends Pick<RepairSettings, 'epochs' | 'batch' | 'patience'> {
  /** Learning rate, in units of the distance between two integers of a scale; a block's unit counts as 16. */
  readonly rate: number;
}

export const defaultDistillation: DistillSettings = {
  ...{ epochs: 4, batch: 4, patience: 2 },
  rate: 0.03,
};
