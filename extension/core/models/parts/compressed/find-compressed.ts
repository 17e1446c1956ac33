import type { TensorFinder } from '../../transformer/tensor-finder';
import type { AttentionShape, AttentionWeights } from '../attention';
import type { Linear } from '../linear';
import type { CompressedParts, CompressedShape, Compressor } from './compressed-parts';

/** Weights of the attention `attn` of the block whose tensors begin with `prefix`. */
export function findCompressed(
  { queryRank, groups, groupRank, rate, indexer }: CompressedShape,
  norm: string,
  tensors: TensorFinder,
  prefix: string,
  { hiddenSize: hidden, numHeads, headDim }: AttentionShape,
): AttentionWeights {
  const own = `${prefix}attn.`;
  const linear = (name: string, out: number, width: number): Linear =>
    tensors.linear(`${own}${name}`, out, width, false);
  const compressor = (module: string, dim: number, runs: number): Compressor => {
    // A run's key is made of the run before as well where keys are chosen.
    const width = indexer === undefined ? dim : 2 * dim;
    return {
      rate: runs,
      values: linear(`${module}.wkv`, width, hidden),
      gate: linear(`${module}.wgate`, width, hidden),
      places: tensors.take(`${own}${module}.ape`, [runs, width]),
      norm: tensors.norm(`${own}${module}.norm`, dim),
    };
  };
  const inner = groups * groupRank;
  const compressed: CompressedParts = {
    groups: {
      weight: tensors.reshaped(`${own}wo_a.weight`, [inner, (numHeads * headDim) / groups, 1]),
      groups,
    },
    ...(rate === undefined ? {} : { compressor: compressor('compressor', headDim, rate) }),
    ...(rate === undefined || indexer === undefined
      ? {}
      : {
          indexer: {
            ...indexer,
            compressor: compressor('indexer.compressor', indexer.headDim, rate),
            query: linear('indexer.wq_b', indexer.numHeads * indexer.headDim, queryRank),
            weights: linear('indexer.weights_proj', indexer.numHeads, hidden),
          },
        }),
  };
  return {
    norm: tensors.norm(`${prefix}${norm}`, hidden),
    queryKeyValue: [
      linear('wq_a', queryRank, hidden),
      linear('wq_b', numHeads * headDim, queryRank),
      linear('wkv', headDim, hidden),
    ],
    latentNorms: {
      query: tensors.norm(`${own}q_norm`, queryRank),
      keyValue: tensors.norm(`${own}norm`, headDim),
    },
    sinks: tensors.take(`${own}attn_sink`, [numHeads]),
    compressed,
    output: linear('wo_b', hidden, inner),
  };
}

/** Linear layers of its own parts, which stay dense as routers do. */
export const compressedLinears = (parts: CompressedParts | undefined): Linear[] => {
  const { groups, compressor, indexer } = parts ?? {};
  return [
    groups,
    compressor?.values,
    compressor?.gate,
    indexer?.compressor.values,
    indexer?.compressor.gate,
    indexer?.query,
    indexer?.weights,
  ].filter((linear) => linear !== undefined);
};

const compressors = ({ compressor, indexer }: CompressedParts): Compressor[] =>
  [compressor, indexer?.compressor].filter((one) => one !== undefined);

/** Its norms, and its tensors that are neither norms nor linear layers. */
export const compressedNorms = (parts: CompressedParts | undefined): Compressor['norm'][] =>
  parts === undefined ? [] : compressors(parts).map(({ norm }) => norm);
export const compressedTensors = (parts: CompressedParts | undefined): Compressor['places'][] =>
  parts === undefined ? [] : compressors(parts).map(({ places }) => places);

/** Numbers that a token leaves for later ones: a key, which is the value too, and its share of its run's. */
export function numbersKept(
  { compressor, indexer }: CompressedParts,
  { headDim }: Pick<AttentionShape, 'headDim'>,
): number {
  const ofRun = headDim + (indexer?.headDim ?? 0);
  return headDim + (compressor === undefined ? 0 : ofRun / compressor.rate);
}
