import * as v from 'valibot';
import { integerFrom, positive } from '../../check-settings';

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

/** What numbers repair takes. */
export const repairSettingsSchema = v.object({
  epochs: integerFrom(0),
  batch: integerFrom(1),
  rate: positive,
  patience: integerFrom(1),
  seed: integerFrom(0),
});

export const defaultRepair: RepairSettings = {
  epochs: 2,
  batch: 4,
  rate: 0.03,
  patience: 2,
  seed: 0,
};

/** Text to learn from: more of it, read fewer times, is better (docs/compactifai.md). */
export const defaultRepairText = { sequences: 256, length: 128 };
