import * as v from 'valibot';
import { textPolicies } from './text-scores';

const count = v.pipe(v.number(), v.integer(), v.minValue(0));

/** Schema of a calibration summary in documents. */
export const calibrationSchema = v.object({
  source: v.string(),
  texts: v.optional(v.array(v.string())),
  sequences: count,
  length: count,
  tokens: count,
  fingerprint: v.string(),
  choice: v.optional(
    v.object({
      scores: v.string(),
      score: v.string(),
      policy: v.picklist(textPolicies),
      windows: count,
    }),
  ),
});
