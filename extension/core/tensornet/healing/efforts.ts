import { usualHealingText } from './healing-settings';

/** What healing may cost. */
interface HealingCost {
  /** Of the text; a part of them is held out. */
  readonly sequences: number;
  /** Whether the whole model is trained at once after its slices; where it can be when absent. */
  readonly endToEnd?: boolean;
}

const { sequences } = usualHealingText;

export type HealingEffort = 'quick' | 'standard' | 'thorough';

/** More text is better than more passes over the same. */
export const healingEfforts: Readonly<Record<HealingEffort, HealingCost>> = {
  quick: { sequences: sequences / 4, endToEnd: false },
  standard: { sequences },
  thorough: { sequences: 4 * sequences },
};
