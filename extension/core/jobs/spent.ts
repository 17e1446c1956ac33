import * as v from 'valibot';

/** A journal's entry of what a run had spent when it last wrote; runs of one job add up. */
export const spentSchema = v.object({
  kind: v.literal('spent'),
  seconds: v.number(),
  evaluations: v.number(),
  /** Counted from 0. */
  run: v.number(),
});
export type Spent = v.InferOutput<typeof spentSchema>;

/** What earlier runs of a job have spent, and how many there were. */
export function spentOf(entries: readonly { readonly kind: string }[]): {
  readonly seconds: number;
  readonly evaluations: number;
  readonly runs: number;
} {
  const last = new Map(
    entries
      .filter((entry): entry is Spent => entry.kind === 'spent')
      .map((entry) => [entry.run, entry]),
  );
  const runs = [...last.values()];
  return {
    seconds: runs.reduce((sum, { seconds }) => sum + seconds, 0),
    evaluations: runs.reduce((sum, { evaluations }) => sum + evaluations, 0),
    runs: runs.length,
  };
}
