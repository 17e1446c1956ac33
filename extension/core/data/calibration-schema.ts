import * as v from 'valibot';
import { textPolicies } from './text-scores';

const count = v.pipe(v.number(), v.integer(), v.minValue(0));

/** A calibration's summary as documents hold it. */
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
