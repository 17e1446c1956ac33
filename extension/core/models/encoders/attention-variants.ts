import type { AttentionShape, AttentionWeights } from '../modules/attention-heads';
import type { DistanceBias } from '../parts/distance-bias';
import { gridBiasRows } from '../parts/grid-bias';
import type { Linear } from '../parts/linear';
import type { RelativeShape } from '../parts/relative-scores';
import type { TensorFinder } from '../transformer/tensor-finder';
import type { EncoderConfig } from './encoder-config';

/** Model that a variant of attention is found in. */
interface VariantContext {
  readonly config: EncoderConfig;
  readonly tensors: TensorFinder;
  /** Prefix of tensors outside the blocks. */
  readonly prefix: string;
  readonly blocksPrefix: string;
  readonly shape: AttentionShape;
  /** Rows and columns of the patches of an image. */
  readonly grid: readonly [height: number, width: number] | undefined;
}

/** Tensors of a variant of attention. */
interface FoundVariant {
  /** Additional weights of the block whose tensor names start with `place`. */
  readonly blockWeights?: (place: string) => Partial<AttentionWeights>;
  /** Bias by distance that all blocks share. */
  readonly distanceBias?: DistanceBias;
  /** The same, scaled by a gate in each block. */
  readonly gatedBias?: DistanceBias;
  /** Tensors in the first block that all blocks use. */
  readonly sharedByBlocks?: readonly string[];
}

/** A variant of attention, as a module that an architecture adds to its blocks. */
export interface AttentionVariant {
  readonly shape?: (
    config: EncoderConfig,
  ) => Partial<Record<'hashes', number>> & { readonly relative?: RelativeShape | undefined };
  readonly find?: (context: VariantContext) => FoundVariant;
}

/** Attention by the expected share of equal hashes (YOSO, arXiv 2111.09714). */
export const hashedAttention = (count: (config: EncoderConfig) => number): AttentionVariant => ({
  shape: (config) => ({ hashes: count(config) }),
});

/** Names of DeBERTa's relative positions, and their shape; undefined if a config has none. */
interface RelativeNames {
  /** Below the prefix. */
  readonly table: string;
  readonly norm: string;
  /** Below the block. */
  readonly key: string;
  readonly query: string;
  readonly keyBias: boolean;
  readonly shape: (config: EncoderConfig) => RelativeShape | undefined;
  readonly hasNorm: (config: EncoderConfig) => boolean;
  /** True if positions share the projections of the content. */
  readonly isShared: (config: EncoderConfig) => boolean;
}

/** Scores of content with relative positions (DeBERTa, arXiv 2006.03654). */
export const relativePositions = (names: RelativeNames): AttentionVariant => ({
  shape: (config) => ({ relative: names.shape(config) }),
  find: ({ config, tensors, prefix, shape: { relative, hiddenSize, numHeads, headDim } }) => {
    if (relative === undefined) {
      return {};
    }
    const table = tensors.take(`${prefix}${names.table}.weight`, [2 * relative.span, hiddenSize]);
    const norm = names.hasNorm(config)
      ? tensors.norm(`${prefix}${names.norm}`, hiddenSize)
      : undefined;
    const own = (name: string, bias: boolean): Linear =>
      tensors.linear(name, numHeads * headDim, hiddenSize, bias);
    const blockWeights = (place: string): Partial<AttentionWeights> => ({
      relative: {
        table,
        norm,
        own: {
          query: relative.positionToContent ? own(`${place}${names.query}`, true) : undefined,
          key: relative.contentToPosition ? own(`${place}${names.key}`, names.keyBias) : undefined,
        },
      },
    });
    return {
      blockWeights: names.isShared(config) ? () => ({ relative: { table, norm } }) : blockWeights,
    };
  },
});

/** Finds a table [buckets, heads] of biases by distance, below `place`. */
export const findDistanceBias = (
  tensors: TensorFinder,
  config: Pick<EncoderConfig, 'relative_attention_num_buckets' | 'relative_attention_max_distance'>,
  name: string,
  heads: number,
  causal: boolean,
): DistanceBias => ({
  table: tensors.take(`${name}.weight`, [config.relative_attention_num_buckets, heads]),
  farthest: config.relative_attention_max_distance,
  causal,
});

/**
 * Biases by distance (T5, arXiv 1910.10683), in a table [buckets, heads] below the prefix, below the first block for
 * all, or below each block for its own.
 */
export const distanceBias = (
  table: string,
  of: 'model' | 'first-block' | 'each-block',
): AttentionVariant => ({
  find: ({ config, tensors, prefix, blocksPrefix, shape }) => {
    const biasAt = (place: string): DistanceBias =>
      findDistanceBias(tensors, config, `${place}${table}`, shape.numHeads, false);
    if (of === 'each-block') {
      return { blockWeights: (place) => ({ distanceBias: biasAt(place) }) };
    }
    const shared = biasAt(of === 'model' ? prefix : `${blocksPrefix}0.`);
    return {
      distanceBias: shared,
      ...(of === 'model' ? {} : { sharedByBlocks: [shared.table.name] }),
    };
  },
});

/** Names of WavLM's gated biases. */
interface GatedBiasNames {
  /** Table [buckets, heads] in the first block, which then stays. */
  readonly table: string;
  /** Below each block. */
  readonly gate: string;
  readonly factor: string;
  readonly buckets: (config: EncoderConfig) => number;
  /** All distances from here on share one bucket. */
  readonly farthest: (config: EncoderConfig) => number;
}

/** Biases by distance, scaled by a gate of each attention (WavLM, arXiv 2110.13900). */
export const gatedBias = (names: GatedBiasNames): AttentionVariant => ({
  find: ({ config, tensors, blocksPrefix, shape: { numHeads, headDim } }) => ({
    blockWeights: (place) => ({
      biasGate: {
        linear: tensors.linear(`${place}${names.gate}`, 8, headDim, true),
        factor: tensors.take(`${place}${names.factor}`, [1, numHeads, 1, 1]),
      },
    }),
    gatedBias: {
      table: tensors.take(`${blocksPrefix}0.${names.table}.weight`, [
        names.buckets(config),
        numHeads,
      ]),
      farthest: names.farthest(config),
      causal: false,
    },
  }),
});

/** Biases by distance in the grid of patches: a table [distances, heads] below each block. */
export const gridBias = (name: string): AttentionVariant => ({
  find: ({ tensors, grid, shape: { numHeads } }) => {
    if (grid === undefined) {
      return {};
    }
    const size = [gridBiasRows(grid), numHeads];
    return {
      blockWeights: (place) => ({
        gridBias: { table: tensors.take(`${place}${name}`, size), grid },
      }),
    };
  },
});

/** A convolution over the values of each head, added to its output: [heads, 1, width, 1] below each block. */
export const valueConvolution = (
  name: string,
  width: (config: EncoderConfig) => number,
): AttentionVariant => ({
  find: ({ config, tensors, shape: { numHeads } }) => ({
    blockWeights: (place) => ({
      valueConvolution: tensors.take(`${place}${name}.weight`, [numHeads, 1, width(config), 1]),
    }),
  }),
});
