import type { Architecture } from '../../transformer/architecture';
import type { TensorFinder } from '../../transformer/tensor-finder';
import type { AttentionShape, AttentionWeights } from '../attention';
import type { Linear } from '../linear';
import type {
  CompressedNames,
  CompressedParts,
  CompressedShape,
  Compressor,
} from './compressed-parts';

/** Weights of the attention of the block whose tensors begin with `prefix`. */
export function findCompressed(
  { queryRank, groups, groupRank, rate, indexer }: CompressedShape,
  { norm = '', output, compressed: names }: Architecture['attention'],
  tensors: TensorFinder,
  prefix: string,
  { hiddenSize: hidden, numHeads, headDim }: AttentionShape,
): AttentionWeights {
  if (names === undefined) {
    throw new Error('a family without compressed attention has none to be found');
  }
  const linear = (name: string, out: number, width: number): Linear =>
    tensors.linear(`${prefix}${name}`, out, width, false);
  const compressor = (
    own: CompressedNames['compressor'],
    dim: number,
    runs: number,
  ): Compressor => {
    // A run's key is made of the run before as well where keys are chosen.
    const width = indexer === undefined ? dim : 2 * dim;
    return {
      rate: runs,
      values: linear(own.values, width, hidden),
      gate: linear(own.gate, width, hidden),
      places: tensors.take(`${prefix}${own.places}`, [runs, width]),
      norm: tensors.norm(`${prefix}${own.norm}`, dim),
    };
  };
  const inner = groups * groupRank;
  const compressed: CompressedParts = {
    groups: {
      weight: tensors.reshaped(`${prefix}${names.groups}.weight`, [
        inner,
        (numHeads * headDim) / groups,
        1,
      ]),
      groups,
    },
    ...(rate === undefined ? {} : { compressor: compressor(names.compressor, headDim, rate) }),
    ...(rate === undefined || indexer === undefined
      ? {}
      : {
          indexer: {
            ...indexer,
            compressor: compressor(names.indexer.compressor, indexer.headDim, rate),
            query: linear(names.indexer.query, indexer.numHeads * indexer.headDim, queryRank),
            weights: linear(names.indexer.weights, indexer.numHeads, hidden),
          },
        }),
  };
  return {
    norm: tensors.norm(`${prefix}${norm}`, hidden),
    queryKeyValue: [
      linear(names.queryDown, queryRank, hidden),
      linear(names.queryUp, numHeads * headDim, queryRank),
      linear(names.key, headDim, hidden),
    ],
    latentNorms: {
      query: tensors.norm(`${prefix}${names.queryNorm}`, queryRank),
      keyValue: tensors.norm(`${prefix}${names.keyNorm}`, headDim),
    },
    sinks: tensors.take(`${prefix}${names.sinks}`, [numHeads]),
    compressed,
    output: linear(output, hidden, inner),
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
