import type { HealingSettings } from './heal-slice';

/** How much healing may cost. */
export const healingEfforts = ['quick', 'standard', 'thorough'] as const;
export type HealingEffort = (typeof healingEfforts)[number];

/** Sequences of text that are learned from, a part of which is held out. */
export const healingSequences: Readonly<Record<HealingEffort, number>> = {
  quick: 24,
  standard: 64,
  thorough: 160,
};

/** Passes over the text, as a share of the usual. */
const passes: Readonly<Record<HealingEffort, number>> = { quick: 1 / 3, standard: 1, thorough: 2 };

/** The usual settings, for an effort. */
export function withEffort(usual: HealingSettings, effort: HealingEffort): HealingSettings {
  return { ...usual, epochs: Math.max(1, Math.round(passes[effort] * usual.epochs)) };
}
