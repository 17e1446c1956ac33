import { defaultRepairText } from './repair-settings';
import type { RepairScope } from './repair-settings';

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
