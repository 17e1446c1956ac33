import type { AttentionShape, AttentionWeights } from '../modules/attention';
import type { DistanceBias } from '../parts/distance-bias';
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

/** What scores gain by distance: from one table, whose name is given where it lies in the first block, or each block's. */
interface DistanceBiases {
  readonly ofAll: DistanceBias | undefined;
  readonly inFirst: string | undefined;
  readonly ofBlock: (place: string) => Pick<AttentionWeights, 'distanceBias'>;
}

export function findDistanceBias(
  { distanceBias: names }: EncoderArchitecture,
  config: EncoderConfig,
  tensors: TensorFinder,
  prefix: string,
  blocksPrefix: string,
): DistanceBiases {
  if (names === undefined) {
    return { ofAll: undefined, inFirst: undefined, ofBlock: () => ({}) };
  }
  const biasAt = (place: string): DistanceBias => ({
    table: tensors.take(`${place}${names.table}.weight`, [
      config.relative_attention_num_buckets,
      config.num_attention_heads,
    ]),
    farthest: config.relative_attention_max_distance,
    causal: false,
  });
  if (names.of === 'each-block') {
    return {
      ofAll: undefined,
      inFirst: undefined,
      ofBlock: (place) => ({ distanceBias: biasAt(place) }),
    };
  }
  const ofAll = biasAt(names.of === 'model' ? prefix : `${blocksPrefix}0.`);
  return {
    ofAll,
    inFirst: names.of === 'first-block' ? ofAll.table.name : undefined,
    ofBlock: () => ({}),
  };
}
