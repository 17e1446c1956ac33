import type { Stability } from './prune/layer-profile';

/** Whether a choice holds on other texts. */
export interface HeldChoice {
  /** How many candidates are, on every text, among so many of least importance as were removed. */
  readonly common: number;
  /** Distance after the last round, by text; where every round was measured on each. */
  readonly distances: readonly number[] | undefined;
}

export const heldChoice = (
  { candidates, rounds }: Pick<Stability, 'candidates' | 'rounds'>,
  removals: number,
): HeldChoice => ({
  common: candidates.filter(({ places: [, worst] }) => worst <= removals).length,
  distances: rounds.length === removals ? rounds.at(-1) : undefined,
});
