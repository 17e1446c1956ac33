import { defaultRepairText } from './repair-settings';
import type { RepairScope } from './repair-settings';

/** What repair may cost. */
interface RepairCost {
  /** Read of the text, again where it is shorter; a part of them is held out. */
  readonly sequences: number;
  /** What is trained at a time where layers are compressed and the full model fits into memory. */
  readonly compressed: RepairScope;
}

const { sequences } = defaultRepairText;

export const effortNames = ['quick', 'standard', 'thorough'] as const;
export type RepairEffort = (typeof effortNames)[number];

/** More text is better than more passes over the same. */
export const repairEfforts: Readonly<Record<RepairEffort, RepairCost>> = {
  quick: { sequences: sequences / 4, compressed: 'sublayers' },
  standard: { sequences, compressed: 'both' },
  thorough: { sequences: 4 * sequences, compressed: 'both' },
};
