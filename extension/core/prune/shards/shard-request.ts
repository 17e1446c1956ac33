import * as v from 'valibot';
import { vocabularies } from '../../metrics/vocabulary';

const index = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const candidateSchema = v.object({
  id: v.string(),
  members: v.pipe(v.array(index), v.readonly()),
  first: index,
});

/** What a search asks of whoever has some of its sequences. */
export const shardRequestSchema = v.variant('kind', [
  /** Runs the original on a sequence. */
  v.object({ kind: v.literal('original'), sequence: index, naive: v.boolean() }),
  /** Measures candidates on a slice, on top of what is removed. */
  v.object({
    kind: v.literal('terms'),
    /** Names the order of removals that it belongs to: one follows from the other within it. */
    line: v.string(),
    naive: v.boolean(),
    /** What is removed, the first one in front. */
    removed: v.pipe(v.array(candidateSchema), v.readonly()),
    candidates: v.pipe(v.array(candidateSchema), v.readonly()),
    slice: v.object({ sequence: index, from: index, to: index }),
    vocabulary: v.picklist(vocabularies),
  }),
]);
export type ShardRequest = v.InferOutput<typeof shardRequestSchema>;
export type TermsRequest = Extract<ShardRequest, { kind: 'terms' }>;

const spent = { evaluated: v.number(), read: v.number() };
/** A sum; not a number where a model gives none without a candidate. */
const sum = v.union([v.number(), v.nan()]);

export const originalResultSchema = v.object({
  ...spent,
  /** Rows of the output. */
  rows: v.number(),
  /** By sublayer: sums of 1 − cosine, and the tokens that they are over. */
  cosine: v.object({
    sums: v.pipe(v.array(sum), v.readonly()),
    tokens: v.pipe(v.array(v.number()), v.readonly()),
  }),
});
export type OriginalResult = v.InferOutput<typeof originalResultSchema>;

export interface TermsResult {
  readonly evaluated: number;
  readonly read: number;
  /** Of each candidate. */
  readonly terms: readonly (readonly number[])[];
}
/** The result of a piece with so many candidates. */
export const termsResultOf = (candidates: number): v.GenericSchema<unknown, TermsResult> =>
  v.object({
    ...spent,
    terms: v.pipe(v.array(v.pipe(v.array(sum), v.readonly())), v.length(candidates)),
  });
