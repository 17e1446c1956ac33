import { isDequantized } from '../../checkpoints/ggml-types';
import { dtypeBits } from '../../checkpoints/lazy-tensor';
import type { AttentionShape, AttentionWeights } from '../parts/attention';
import type { FeedforwardShape, FeedforwardWeights } from '../parts/feedforward';
import type { Linear } from '../parts/linear';
import type { TransformerLayout } from '../transformer/transformer-layout';
import { stepOf } from './weight-cuts';
import type { WidthTensor } from './weight-cuts';

/** What a sublayer can lose without being removed, counted from 0. */
export interface Width {
  /** Channels of a feed-forward, or key/value heads of an attention, each with its query heads. */
  readonly of: 'channels' | 'groups';
  readonly count: number;
  /** Neighbours that stay or go together, where weights are quantized in groups or blocks: 0 to step − 1, and so on. */
  readonly step: number;
  readonly tensors: readonly WidthTensor[];
  /** What writes into the stream; where its inputs are zeros, channels or groups add nothing. */
  readonly output: Linear;
}

type Places = WidthTensor['places'];

/** What can be taken out of sublayer `index`; undefined where it can only stay or go as a whole. */
export function widthOf(layout: TransformerLayout, index: number): Width | undefined {
  const sublayer = layout.sublayers[index];
  switch (sublayer?.kind) {
    case 'feedforward':
      return feedforwardWidth(layout.feedforward, sublayer.weights);
    case 'attention':
      return layout.slopes === undefined && !lendsKeys(layout, sublayer.block)
        ? attentionWidth({ ...layout.attention, ...sublayer.heads }, sublayer.weights)
        : undefined;
    case 'mixer':
    case 'expert':
    case 'patch':
    case undefined:
      return undefined;
  }
}

/** Whether attentions of other blocks read this block's keys and values. */
function lendsKeys({ sublayers }: TransformerLayout, block: number): boolean {
  return sublayers.some(
    (one) => one.kind === 'attention' && one.weights.othersKeys?.block === block,
  );
}

/** Width of a sublayer, where less than all of its channels or groups can go. */
function cut(
  of: Width['of'],
  count: number,
  tensors: readonly WidthTensor[],
  output: Linear,
): Width | undefined {
  const step = stepOf(tensors);
  return step !== undefined && step < count ? { of, count, step, tensors, output } : undefined;
}

/** The channels of a feed-forward; undefined where they can only stay or go as a whole. */
export function feedforwardWidth(
  { gated, takesTurns }: FeedforwardShape,
  { gateUp, down, innerNorm, openFrom }: FeedforwardWeights,
): Width | undefined {
  const count = sizesOf(down).in;
  const both: Places = takesTurns
    ? (kept) => kept.flatMap((channel) => [2 * channel, 2 * channel + 1])
    : (kept) => [...kept, ...kept.map((channel) => channel + count)];
  const same: Places = (kept) => kept;
  const tensors = [
    ...gateUp.flatMap((linear) => outputsOf(linear, gated && gateUp.length === 1 ? both : same)),
    ...inputsOf(down, same),
  ];
  // Fewer channels would be another mean of the norm, or of the gates.
  return innerNorm === undefined && openFrom === undefined && [...gateUp, down].every(isPlain)
    ? cut('channels', count, tensors, down)
    : undefined;
}

/** The key/value heads of an attention; undefined where they can only stay or go as a whole. */
export function attentionWidth(
  shape: AttentionShape,
  weights: AttentionWeights,
): Width | undefined {
  const { numHeads, numKeyValueHeads: count, headDim } = shape;
  const { queryKeyValue, output } = weights;
  const perGroup = (numHeads / count) * headDim;
  const run = (start: number, length: number): number[] =>
    Array.from({ length }, (_, i) => start + i);
  const runs =
    (length: number, start = 0): Places =>
    (kept) =>
      kept.flatMap((group) => run(start + group * length, length));
  const queries = runs(perGroup);
  const [query, key, value] = queryKeyValue;
  const fused: Places =
    shape.fusedOrder === 'by-group'
      ? runs(perGroup + 2 * headDim)
      : (kept) => [
          ...queries(kept),
          ...runs(headDim, numHeads * headDim)(kept),
          ...runs(headDim, (numHeads + count) * headDim)(kept),
        ];
  const inner = runs(headDim);
  const tensors = [
    ...(query === undefined ? [] : outputsOf(query, key === undefined ? fused : queries)),
    ...[key, value].flatMap((linear) => (linear === undefined ? [] : outputsOf(linear, inner))),
    ...inputsOf(output, queries),
  ];
  return isPlainAttention(shape, weights) && [...queryKeyValue, output].every(isPlain)
    ? cut('groups', count, tensors, output)
    : undefined;
}

/** Whether nothing but the projections knows of single heads. */
function isPlainAttention(shape: AttentionShape, weights: AttentionWeights): boolean {
  const { queryKeyNorms, innerNorm, sinks, gate, addedBiases, relative } = weights;
  const { valueConvolution, gridBias, distanceBias, biasGate, latentNorms, othersKeys } = weights;
  const { shared, difference } = weights;
  const others = [
    innerNorm,
    sinks,
    gate,
    addedBiases,
    relative,
    valueConvolution,
    gridBias,
    distanceBias,
    biasGate,
  ];
  return (
    [...others, latentNorms, othersKeys, shared, difference].every((part) => part === undefined) &&
    (queryKeyNorms === undefined || shape.queryKeyNormsOver === 'head') &&
    shape.latent === undefined &&
    shape.valueDim === shape.headDim &&
    !shape.gatesInQuery &&
    shape.fusedOrder !== 'query-value-key-by-quarter'
  );
}

/** Whether each row of a layer is stored by itself. */
function isPlain({ weight, bias, form, groups }: Linear): boolean {
  const stored = [weight, ...(bias === undefined ? [] : [bias])];
  return (
    form === undefined &&
    groups === undefined &&
    stored.every(
      ({ dtype, packed, sliceOf }) =>
        sliceOf === undefined &&
        (packed !== undefined || dtype in dtypeBits || isDequantized(dtype)),
    )
  );
}

function sizesOf({ weight, transposed = false }: Linear): {
  readonly out: number;
  readonly in: number;
} {
  const [rows = 0, columns = 0] = weight.shape;
  return transposed ? { out: columns, in: rows } : { out: rows, in: columns };
}

function outputsOf({ weight, bias, transposed = false }: Linear, places: Places): WidthTensor[] {
  return [
    { tensor: weight, axis: transposed ? 1 : 0, places },
    ...(bias === undefined ? [] : [{ tensor: bias, axis: 0, places }]),
  ];
}

function inputsOf({ weight, transposed = false }: Linear, places: Places): WidthTensor[] {
  return [{ tensor: weight, axis: transposed ? 0 : 1, places }];
}
