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
export type AttentionPartNames = {
  readonly [Kind in keyof typeof finders]?: Parameters<(typeof finders)[Kind]>[0];
};

/** Finds the parts that an architecture names; those that the model or the block lacks are left out. */
export const findAttentionParts = (
  names: AttentionPartNames = {},
  source: AttentionSource,
): AttentionPart[] =>
  Object.entries(names).flatMap(([kind, own]) => {
    const find = finders[kind as keyof typeof finders] as FindAttentionPart<typeof own>;
    return find(own, source) ?? [];
  });
