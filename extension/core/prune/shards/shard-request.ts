import * as v from 'valibot';
import { vocabularies } from '../../metrics/vocabulary-sums';

const index = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const candidateSchema = v.object({
  id: v.string(),
  members: v.pipe(v.array(index), v.readonly()),
  first: index,
});

/** Request of a search to the worker that has a sequence. */
export const shardRequestSchema = v.variant('kind', [
  /** Runs the original on a sequence. */
  v.object({ kind: v.literal('original'), sequence: index, naive: v.boolean() }),
  /** Measures candidates on a slice, on top of the given removals. */
  v.object({
    kind: v.literal('terms'),
    /** Name of the removal order. Each request of a line extends the removals of the previous one. */
    line: v.string(),
    naive: v.boolean(),
    /** Removed candidates, in order. */
    removed: v.pipe(v.array(candidateSchema), v.readonly()),
    candidates: v.pipe(v.array(candidateSchema), v.readonly()),
    slice: v.object({ sequence: index, from: index, to: index }),
    vocabulary: v.picklist(vocabularies),
  }),
]);
export type ShardRequest = v.InferOutput<typeof shardRequestSchema>;
export type TermsRequest = Extract<ShardRequest, { kind: 'terms' }>;

const spent = { evaluated: v.number(), read: v.number() };
/** Sum of terms; NaN if the model's outputs are not finite without a candidate. */
const sum = v.union([v.number(), v.nan()]);

export const originalResultSchema = v.object({
  ...spent,
  /** Number of output rows. */
  rows: v.number(),
  /** By sublayer: sums of 1 − cosine, and their numbers of tokens. */
  cosine: v.object({
    sums: v.pipe(v.array(sum), v.readonly()),
    tokens: v.pipe(v.array(v.number()), v.readonly()),
  }),
});
export type OriginalResult = v.InferOutput<typeof originalResultSchema>;

export interface TermsResult {
  readonly evaluated: number;
  readonly read: number;
  /** Terms of each candidate. */
  readonly terms: readonly (readonly number[])[];
}
/** Schema of the result for a number of candidates. */
export const termsResultSchema = (candidates: number): v.GenericSchema<unknown, TermsResult> =>
  v.object({
    ...spent,
    terms: v.pipe(v.array(v.pipe(v.array(sum), v.readonly())), v.length(candidates)),
  });
