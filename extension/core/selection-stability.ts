import type { Stability } from './prune/layer-profile';

/** Stability of a selection on other texts. */
export interface SelectionStability {
  /** Number of candidates that are, on every text, among the `removals` least important ones. */
  readonly common: number;
  /** Distance after the last round by text, if every round was measured on all texts. */
  readonly distances: readonly number[] | undefined;
}

export const selectionStability = (
  { candidates, rounds }: Pick<Stability, 'candidates' | 'rounds'>,
  removals: number,
): SelectionStability => ({
  common: candidates.filter(({ places: [, worst] }) => worst <= removals).length,
  distances: rounds.length === removals ? rounds.at(-1) : undefined,
});
