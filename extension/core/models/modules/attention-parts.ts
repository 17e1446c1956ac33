import type { AttentionPart, AttentionSource, FindAttentionPart } from '../parts/attention-part';
import { differentialAttention } from '../parts/differential-attention';
import type { DifferenceNames } from '../parts/differential-attention';
import { distanceBias } from '../parts/distance-bias';
import type { OwnDistanceBiasNames } from '../parts/distance-bias';
import { biasGate } from '../parts/gated-bias';
import type { BiasGateNames } from '../parts/gated-bias';
import { gridBias } from '../parts/grid-bias';
import type { GridBiasNames } from '../parts/grid-bias';
import { hashedAttention } from '../parts/hashed-attention';
import type { HashedNames } from '../parts/hashed-attention';
import { normedValues, queryValueBiases, valueConvolution } from '../parts/head-parts';
import type { QueryValueBiasNames, ValueConvolutionNames } from '../parts/head-parts';
import { relativePositions } from '../parts/relative-scores';
import type { RelativeNames } from '../parts/relative-scores';

/** Names of each part in an architecture. */
interface PartNames {
  readonly 'bias-gate': BiasGateNames;
  readonly difference: DifferenceNames;
  readonly 'distance-bias': OwnDistanceBiasNames;
  readonly 'grid-bias': GridBiasNames;
  readonly hashes: HashedNames;
  readonly 'normed-values': object;
  readonly 'query-value-biases': QueryValueBiasNames;
  readonly 'relative-positions': RelativeNames;
  readonly 'value-convolution': ValueConvolutionNames;
}

/** A part in the table of an architecture, which loads without the code that emits it. */
export type AttentionPartNames = {
  [Kind in keyof PartNames]: { readonly part: Kind } & PartNames[Kind];
}[keyof PartNames];

const finders: { readonly [Kind in keyof PartNames]: FindAttentionPart<PartNames[Kind]> } = {
  'bias-gate': biasGate,
  difference: differentialAttention,
  'distance-bias': distanceBias,
  'grid-bias': gridBias,
  hashes: hashedAttention,
  'normed-values': normedValues,
  'query-value-biases': queryValueBiases,
  'relative-positions': relativePositions,
  'value-convolution': valueConvolution,
};

/** Finds a part of attention; undefined if the model or the block has none. */
export const findAttentionPart = <Kind extends keyof PartNames>(
  names: { readonly part: Kind } & PartNames[Kind],
  source: AttentionSource,
): AttentionPart | undefined => finders[names.part](names, source);
