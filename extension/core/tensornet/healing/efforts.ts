import { usualHealingText } from './healing-settings';

/** What healing may cost: how much text it learns from, and whether the whole model is trained at once afterwards. */
interface HealingCost {
  /** A part of them is held out. */
  readonly sequences: number;
  readonly endToEnd: boolean;
}

const { sequences } = usualHealingText;

/** More text is better than more passes over the same. */
export const healingEfforts = {
  quick: { sequences: sequences / 4, endToEnd: false },
  standard: { sequences, endToEnd: false },
  thorough: { sequences: 4 * sequences, endToEnd: true },
} as const satisfies Readonly<Record<string, HealingCost>>;

export type HealingEffort = keyof typeof healingEfforts;
