import type { NormKind } from '../parts/norm';
import type { Architecture, Biases } from '../transformer/architecture';
import type { ConfigFields, ConfigLayout } from '../transformer/model-config';
import type { BranchReplacements } from '../branch-replacements';
import type { Seq2SeqConfig } from './seq2seq-config';

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
