/** Sublayers and experts that were marked by hand. Moving the slider keeps these marks. */
export interface ManualMarks {
  readonly removed: readonly string[];
  /** Not removed, although a round of the search removes them. */
  readonly kept: readonly string[];
}

export const noMarks: ManualMarks = { removed: [], kept: [] };

/** True if two ids name the same unit, or an MoE layer and one of its experts. */
const overlap = (a: string, b: string): boolean =>
  a === b || a.startsWith(`${b}.`) || b.startsWith(`${a}.`);

/**
 * Ids of removed units, in order: those of the rounds, then those selected manually.
 * @param byRounds ids removed by the first rounds of the search
 */
export function removedIds(
  byRounds: readonly string[],
  { removed, kept }: ManualMarks,
  protectedIds: readonly string[],
): readonly string[] {
  const staying = [...kept, ...protectedIds];
  const left = byRounds.filter((id) => !staying.some((one) => overlap(id, one)));
  return [...new Set([...left, ...removed])];
}

/** The marks after one more. */
export function withMark(
  { removed, kept }: ManualMarks,
  id: string,
  mark: 'keep' | 'removed' | 'protected',
  byRounds: readonly string[],
): ManualMarks {
  const without = (ids: readonly string[]): readonly string[] => ids.filter((one) => one !== id);
  const isInRounds = byRounds.includes(id);
  return {
    removed: mark === 'removed' && !isInRounds ? [...without(removed), id] : without(removed),
    kept: mark === 'keep' && isInRounds ? [...without(kept), id] : without(kept),
  };
}
