import { say, verbatim } from '../../message';
import type { Message } from '../../message';
import type { FlowKind } from './flow-document';

/** Label of a step of `GraphBuilder.step` in diagrams. */
interface StepLabel {
  readonly label: Message;
  /** By default `weights` if the step reads tensors, else `operator`. */
  readonly kind?: FlowKind;
  /** Drawn in the block, or outside of the blocks, instead of the sublayer. */
  readonly place?: 'block' | 'outside';
  /** One box, however often the step is emitted in a sublayer. */
  readonly isOnce?: boolean;
}

/**
 * Labels of steps and of linear layers by their roles; others are called by their names. Values of the step `side`, such as
 * masks, are not drawn.
 */
export const stepLabels: Readonly<Record<string, StepLabel>> = {
  'rms-norm': { label: say`RMS norm`, kind: 'norm' },
  'layer-norm': { label: say`Layer norm`, kind: 'norm' },
  sum: { label: verbatim('+'), kind: 'combine', place: 'block' },
  'sum-norm': { label: say`Norm of the sum`, kind: 'norm', place: 'block' },
  'encoder-norm': { label: say`Norm of the encoder`, kind: 'norm', place: 'outside' },
  'soft-cap': { label: say`Soft cap` },
  embedding: { label: say`Embedding` },
  positions: { label: say`Position embedding` },
  segments: { label: say`Segment embedding` },
  patches: { label: say`Patch embedding` },
  'class-token': { label: say`Class token first` },
  'added-positions': { label: say`Add position embedding` },
  registers: { label: say`Registers in between` },
  convolutions: { label: say`Convolutions` },
  'position-convolution': { label: say`Position convolution` },
  'per-layer': { label: say`Per-layer embeddings` },
  rotate: { label: say`Rotate` },
  cache: { label: say`Key/value cache`, kind: 'cache' },
  attention: { label: verbatim('Softmax(q·kᵀ)·v'), kind: 'attention' },
  'compressed-keys': { label: say`Compressed keys` },
  'chosen-keys': { label: say`Choose keys` },
  router: { label: say`Router` },
  choose: { label: say`Choose experts`, kind: 'operator', isOnce: true },
  'weighted-sum': { label: say`Weighted sum`, kind: 'combine', isOnce: true },
  'largest-gates': { label: say`Largest gates` },
  convolution: { label: say`Causal convolution` },
  recurrence: { label: say`Recurrence` },
  unit: { label: say`Unit length` },
  'graph-module': { label: say`Graph convolutions` },
  streams: { label: say`Parallel streams` },
  'read-streams': { label: say`Weighted sum of the streams` },
  'mix-streams': { label: say`Mix the streams`, kind: 'combine', place: 'block' },
  'expected-streams': { label: say`Expected streams` },
  'corrected-streams': { label: say`Corrected streams` },
  'mean-stream': { label: say`Mean of the streams` },
  laurel: { label: say`Residual of low rank` },
  first: { label: say`First position` },
  last: { label: say`Last position` },
  end: { label: say`End of the text` },
  mean: { label: say`Mean of positions` },
  'mean-of-two': { label: say`Mean of the first two positions` },
  'first-and-mean': { label: say`First position, mean of patches` },
  head: { label: say`LM head` },
  projection: { label: say`Projection` },
  query: { label: say`Query` },
  key: { label: say`Key` },
  value: { label: say`Value` },
  'query-key-value': { label: say`Query, key, value` },
  output: { label: say`Output` },
  gate: { label: say`Gate` },
  up: { label: say`Up` },
  'gate-up': { label: say`Gate and up` },
  down: { label: say`Down` },
  logits: { label: say`Logits` },
};

export const sublayerLabels: Readonly<Record<string, Message>> = {
  attention: say`Attention`,
  'cross-attention': say`Cross-attention`,
  mixer: say`SSM or linear attention`,
  feedforward: say`MLP`,
  convolution: say`Convolution`,
  expert: say`Experts`,
  patch: say`Graph module`,
  parallel: say`Parallel branches`,
  other: say`Branch`,
};

/** Operators outside of steps that are not called as in ONNX. */
export const operatorLabels: Readonly<Record<string, Message>> = {
  Add: verbatim('+'),
  Sub: verbatim('−'),
  Mul: verbatim('×'),
  Div: verbatim('÷'),
};

export const inputLabels: Readonly<Record<string, Message>> = {
  input_ids: say`Token ids`,
  decoder_input_ids: say`Token ids`,
  position_ids: say`Positions`,
  token_type_ids: say`Segments`,
  pixel_values: say`Pixels`,
  input_values: say`Samples`,
  input_features: say`Spectrogram`,
};
