import type { AttentionPart, AttentionSource, FindAttentionPart } from '../parts/attention-part';
import { differentialAttention } from '../parts/differential-attention';
import { distanceBias } from '../parts/distance-bias';
import { biasGate } from '../parts/gated-bias';
import { gridBias } from '../parts/grid-bias';
import {
  hashedAttention,
  normedValues,
  queryValueBiases,
  valueConvolution,
} from '../parts/head-parts';
import { relativePositions } from '../parts/relative-scores';

const finders = {
  'bias-gate': biasGate,
  difference: differentialAttention,
  'distance-bias': distanceBias,
  'grid-bias': gridBias,
  hashes: hashedAttention,
  'normed-values': normedValues,
  'query-value-biases': queryValueBiases,
  'relative-positions': relativePositions,
  'value-convolution': valueConvolution,
} satisfies Record<string, FindAttentionPart<never>>;

/** Names of each part in an architecture. */
type PartNames = { [Kind in keyof typeof finders]: Parameters<(typeof finders)[Kind]>[0] };

/** A part in the table of an architecture, which loads without the code that emits it. */
export type AttentionPartNames = {
  [Kind in keyof PartNames]: { readonly part: Kind } & PartNames[Kind];
}[keyof PartNames];

const partFinders: { [Kind in keyof PartNames]: FindAttentionPart<PartNames[Kind]> } = finders;

/** Finds a part of attention; undefined if the model or the block has none. */
export const findAttentionPart = <Kind extends keyof PartNames>(
  names: { readonly part: Kind } & PartNames[Kind],
  source: AttentionSource,
): AttentionPart | undefined => partFinders[names.part](names, source);
