import { defaultRepairText } from './repair-settings';

/** What repair may cost. */
interface RepairCost {
  /** Of the text; a part of them is held out. */
  readonly sequences: number;
  /** Whether the whole model is trained at once after its slices; where it can be when absent. */
  readonly endToEnd?: boolean;
}

const { sequences } = defaultRepairText;

export const effortNames = ['quick', 'standard', 'thorough'] as const;
export type RepairEffort = (typeof effortNames)[number];

/** More text is better than more passes over the same. */
export const repairEfforts: Readonly<Record<RepairEffort, RepairCost>> = {
  quick: { sequences: sequences / 4, endToEnd: false },
  standard: { sequences },
  thorough: { sequences: 4 * sequences },
};
