import * as v from 'valibot';

/**
 * Journal entry with the seconds and evaluations that a run had used when it last wrote. The runs of a job are added
 * up.
 */
export const spentSchema = v.object({
  kind: v.literal('spent'),
  seconds: v.number(),
  evaluations: v.number(),
  /** Index of the run, from 0. */
  run: v.number(),
});
export type Spent = v.InferOutput<typeof spentSchema>;

/** Total of all earlier runs of a job, and their number. */
export function totalSpent(entries: readonly { readonly kind: string }[]): {
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
