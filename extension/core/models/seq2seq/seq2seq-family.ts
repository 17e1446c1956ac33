import type { NormKind } from '../parts/norm';
import type { Architecture, Biases } from '../transformer/architecture';
import type { ConfigFields, ConfigLayout } from '../transformer/model-config';
import type { BranchReplacements } from '../branch-replacements';
import * as v from 'valibot';
import { compressedEncodings } from '../encodings/encoding-spec';
import { configEntries, parseConfig, size } from '../transformer/model-config';

/** Kind of a sublayer of an encoder or decoder. */
export type Seq2SeqKind = 'attention' | 'cross-attention' | 'feedforward';

/** Names of the tensors of an encoder or a decoder, below its prefix. */
export interface TowerNames {
  /** Prefix of every name, below the model's prefix. */
  readonly prefix: string;
  /** Blocks are named `<prefix><blocks>.<number>.`. */
  readonly blocks: string;
  readonly attention: Architecture['attention'];
  readonly feedforward: Architecture['feedforward'];
  /** Position embedding; with `sines` and without a stored table, sines followed by cosines. */
  readonly positions?: { readonly name: string; readonly offset: number; readonly sines?: boolean };
  /** Norm of the embedding before positions are added, and after. */
  readonly wordNorm?: string;
  readonly embeddingNorm?: string;
  readonly finalNorm?: string;
  /** Relative position bias: below the first block, for all blocks, or below each. */
  readonly distanceBias?: string;
  readonly biasIsByBlock?: boolean;
  /** Modules of a block in transformers, and their replacements when removed. */
  readonly modules: Readonly<Partial<Record<Seq2SeqKind, BranchReplacements>>>;
}

/** Architecture of a family of encoder–decoder models. */
export interface Seq2SeqFamily {
  /** `model_type` of config.json. */
  readonly modelType: string;
  /** transformers classes: configuration, model without head, model with head, and encoder only. */
  readonly classes: {
    readonly config: string;
    readonly model: string;
    readonly head: string;
    readonly encoder?: string;
  };
  /** Auto class of transformers for the model with head. */
  readonly auto: string;
  readonly config: ConfigLayout;
  /** Prefix of every name except the head's, if there is a head. */
  readonly prefix: string;
  readonly norm: NormKind;
  readonly biases: (config: Seq2SeqConfig) => Biases;
  /** Names that the embedding of words is stored under, the first that a checkpoint has. */
  readonly words: readonly string[];
  /** Names of both embeddings, if config.json declares separate source and target vocabularies. */
  readonly ownWords?: (
    config: Seq2SeqConfig,
  ) => { readonly source: string; readonly target: string } | undefined;
  readonly head: { readonly name: string; readonly bias?: string };
  readonly towers: (config: Seq2SeqConfig) => {
    readonly encoder: TowerNames;
    readonly decoder: TowerNames & {
      readonly crossAttention: Architecture['attention'];
    };
  };
  /**
   * Maximum sequence length for which results match transformers, if it depends on other fields.
   */
  readonly maxPositions?: (config: Seq2SeqConfig) => number | undefined;
  /** Input of the encoder: token ids, or a spectrogram followed by two named convolutions. */
  readonly source: 'text' | { readonly convolutions: readonly [string, string] };
  /** Factors on the embedding, on scores (headDim^−½ when absent), and on what the head reads. */
  readonly scales: (config: Seq2SeqConfig) => {
    readonly embedding?: number;
    readonly attention?: number;
    readonly head?: number;
  };
}

/** Fields of config.json that count the blocks of encoder and decoder. */
export interface BlockCounts {
  readonly encoder: string;
  readonly decoder: string;
}

/** A configuration that counts blocks by these fields; neither list can be empty. */
export function countedBlocks({
  encoder,
  decoder,
}: BlockCounts): Pick<ConfigLayout, 'isUnnumbered' | 'pruned'> {
  return {
    isUnnumbered: true,
    pruned: (config, blocks) => {
      const { [encoder]: count, num_hidden_layers: repeated } = config;
      const encoderBlocks = blocks.filter((block) => block < Number(count)).length;
      const decoderBlocks = blocks.length - encoderBlocks;
      const fields: ConfigFields = {
        [encoder]: encoderBlocks,
        [decoder]: decoderBlocks,
        // Older files store it twice.
        ...(repeated === undefined ? {} : { num_hidden_layers: encoderBlocks }),
      };
      return encoderBlocks === 0 || decoderBlocks === 0 ? undefined : fields;
    },
  };
}

const count = v.pipe(v.number(), v.integer(), v.minValue(1));
const id = v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0)));

/** Fields of an encoder–decoder model's config.json that affect the computation, with BART's names. */
const seq2seqSchema = v.looseObject({
  model_type: v.string(),
  architectures: v.nullish(v.array(v.string())),
  vocab_size: size,
  /** Size of the target vocabulary, if it differs from the source's. */
  decoder_vocab_size: v.nullish(size),
  share_encoder_decoder_embeddings: v.optional(v.boolean(), true),
  hidden_size: size,
  head_dim: configEntries.head_dim,
  encoder_layers: count,
  decoder_layers: count,
  encoder_attention_heads: size,
  decoder_attention_heads: size,
  encoder_ffn_dim: size,
  decoder_ffn_dim: size,
  hidden_act: configEntries.hidden_act,
  rms_norm_eps: configEntries.rms_norm_eps,
  /** Maximum number of source and target tokens. Unlimited with relative position biases. */
  max_position_embeddings: v.nullish(size),
  max_source_positions: v.nullish(size),
  num_mel_bins: v.optional(size, 80),
  relative_attention_num_buckets: v.optional(size, 32),
  relative_attention_max_distance: v.optional(size, 128),
  /** Bias of attention projections. */
  use_bias: v.optional(v.boolean(), true),
  scale_embedding: v.optional(v.boolean(), false),
  scale_decoder_outputs: v.nullish(v.boolean()),
  tie_word_embeddings: v.optional(v.boolean(), true),
  /** First token of the decoder's input. */
  decoder_start_token_id: id,
  pad_token_id: id,
  espalier: v.optional(
    v.looseObject({
      removed: v.array(v.string()),
      compressed: v.optional(compressedEncodings),
      widths: v.optional(v.record(v.string(), count)),
    }),
  ),
});

export type Seq2SeqConfig = v.InferOutput<typeof seq2seqSchema>;

/** @throws UserError naming the file and the field. */
export function parseSeq2SeqConfig(
  text: string,
  file: string,
  layout: ConfigLayout,
): Seq2SeqConfig {
  return parseConfig(seq2seqSchema, text, file, layout);
}
