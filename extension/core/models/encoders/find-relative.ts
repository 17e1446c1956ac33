import type { AttentionShape, AttentionWeights } from '../parts/attention';
import type { Linear } from '../parts/linear';
import type { TensorFinder } from '../transformer/tensor-finder';
import type { EncoderArchitecture } from './encoder-architecture';
import type { EncoderConfig } from './encoder-config';

/** Adds relative positions to the weights of an attention whose tensors begin with `place`. */
type WithRelative = (place: string, weights: AttentionWeights) => AttentionWeights;

/** Finds the tensors of relative positions, those outside the blocks below `prefix`. */
export function findRelative(
  { relative: names }: EncoderArchitecture,
  config: EncoderConfig,
  tensors: TensorFinder,
  prefix: string,
  { relative: shape, hiddenSize, numHeads, headDim }: AttentionShape,
): WithRelative {
  if (names === undefined || shape === undefined) {
    return (_, weights) => weights;
  }
  const table = tensors.take(`${prefix}${names.table}.weight`, [2 * shape.span, hiddenSize]);
  const norm = names.hasNorm(config)
    ? tensors.norm(`${prefix}${names.norm}`, hiddenSize)
    : undefined;
  const own = (name: string, bias: boolean): Linear =>
    tensors.linear(name, numHeads * headDim, hiddenSize, bias);
  if (names.isShared(config)) {
    return (_, weights) => ({ ...weights, relative: { table, norm } });
  }
  return (place, weights) => {
    const projections = {
      query: shape.positionToContent ? own(`${place}${names.query}`, true) : undefined,
      key: shape.contentToPosition ? own(`${place}${names.key}`, names.keyBias) : undefined,
    };
    return { ...weights, relative: { table, norm, own: projections } };
  };
}
