import { usualHealingText } from './healing-settings';

/**
 * What healing may cost: how much text it learns from, and whether the whole model is trained at once
 * afterwards; where it can be when absent.
 */
interface HealingCost {
  /** A part of them is held out. */
  readonly sequences: number;
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
