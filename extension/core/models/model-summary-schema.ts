import * as v from 'valibot';
import { sublayerKinds } from './model-summary';
import { verbatim } from '../message';

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
/** Documents hold texts; a message without parameters is the pattern itself. */
const message = v.pipe(v.string(), v.transform(verbatim));

const sublayer = v.object({
  id: v.string(),
  block: count,
  kind: v.picklist(sublayerKinds),
  parameters: count,
  bytes: count,
  flopsPerToken: count,
  kvBytesPerToken: count,
  kvWindow: v.optional(count),
  sharedWeights: v.optional(count),
  shares: v.optional(v.array(v.string())),
  leavesParts: v.optional(v.boolean()),
  experts: v.optional(
    v.object({
      count,
      perToken: count,
      least: v.optional(count),
      groups: v.optional(count),
      parameters: count,
      bytes: count,
    }),
  ),
});
const quantization = v.object({
  method: v.string(),
  form: v.optional(v.string()),
  bits: v.optional(v.number()),
  groupSize: v.optional(v.number()),
  byActivation: v.optional(v.boolean()),
  block: v.optional(v.tuple([v.number(), v.number()])),
  refusal: v.optional(message),
});
/** Schema of a model summary in documents. */
export const modelSummarySchema = v.object({
  name: v.string(),
  path: v.string(),
  architecture: v.string(),
  quantization: v.optional(quantization),
  parameters: count,
  bytes: count,
  dtypes: v.record(v.string(), count),
  blocks: count,
  encoderBlocks: v.optional(count),
  hiddenSize: v.optional(count),
  vocabularySize: v.optional(count),
  maxPositions: v.optional(count),
  tiedHead: v.optional(v.boolean()),
  sublayers: v.array(sublayer),
  fixed: v.optional(message),
  absent: v.optional(v.array(v.string())),
  widths: v.optional(v.record(v.string(), count)),
  fingerprint: v.string(),
  warnings: v.array(message),
});
