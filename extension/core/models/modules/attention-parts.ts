import type { AttentionPart, AttentionSource, FindAttentionPart } from '../parts/attention-part';
import { attentionSinks } from '../parts/attention-sinks';
import { differentialAttention } from '../parts/differential-attention';
import { distanceBias } from '../parts/distance-bias';
import { biasGate } from '../parts/gated-bias';
import { gridBias } from '../parts/grid-bias';
import {
  clippedHeads,
  hashedAttention,
  innerNorm,
  normedValues,
  queryValueBiases,
  valueConvolution,
} from '../parts/head-parts';
import { gateInQuery, outputGate } from '../parts/output-gate';
import { relativePositions } from '../parts/relative-scores';
import { findParts } from '../transformer/part-tensors';
import type { PartNames } from '../transformer/part-tensors';

const finders = {
  biasGate,
  clip: clippedHeads,
  difference: differentialAttention,
  distanceBias,
  gate: outputGate,
  gateInQuery,
  gridBias,
  hashes: hashedAttention,
  innerNorm,
  normedValues,
  queryValueBiases,
  relativePositions,
  sinks: attentionSinks,
  valueConvolution,
} satisfies Record<string, FindAttentionPart<never>>;

/** Parts of attention in the table of an architecture, in order. The table loads without the code that emits them. */
export type AttentionPartNames = PartNames<typeof finders>;

export const findAttentionParts = (
  names: AttentionPartNames | undefined,
  source: AttentionSource,
): AttentionPart[] =>
  findParts<AttentionPart, AttentionSource, typeof finders>(finders, names, source);
