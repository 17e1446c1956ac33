import type {
  Architecture,
  Biases,
  BlockArchitecture,
  ExpertNames,
  Scales,
} from '../transformer/architecture';
import type { ConfigFields, ConfigLayout } from '../transformer/model-config';
import type { NormKind } from '../parts/norm';
import type { BranchReplacements } from '../branch-replacements';
import type { Message } from '../../message';
import type { AudioNames } from './audio-embedding';
import type { EncoderConfig } from './encoder-config';

/** Names of the tensors that words, positions and segments are looked up in. */
interface TextEmbedding {
  readonly kind: 'text';
  readonly words: string;
  /** Learned position embedding; absent for rotary embeddings. */
  readonly positions?: string;
  /** Segment embedding, if the family has segments. */
  readonly types?: string;
  /** Number of rows of `positions` before that of position 0. */
  readonly positionOffset?: number;
  /** Embedding tables for inputs that text doesn't have, such as boxes on a page; their first rows are added. */
  readonly firstRows?: readonly string[];
  /** Norm of their sum. */
  readonly norm?: string;
  /** Linear layer from the embedding size to the hidden size, if they differ. */
  readonly projection?: EmbeddingProjection;
  /**
   * Segment and position tables for visual tokens. The first rows are appended to the words, and
   * all are then projected.
   */
  readonly joined?: {
    readonly tables: (config: EncoderConfig) => readonly string[];
    readonly projection: string;
  };
  /** Id of a token that words are hidden by: it counts 0, and the others more (ESM-2, doi 10.1126/science.ade2574). */
  readonly hiddenBy?: (config: EncoderConfig) => number | undefined;
  /** True if positions start at the padding id + 1 and skip padding, instead of starting at 0. */
  readonly positionsSkipPadding?: boolean;
}

/** A linear layer after the norm of the embedding, or before it (`beforeNorm`). */
interface EmbeddingProjection {
  readonly name: string;
  readonly bias: boolean;
  readonly beforeNorm?: boolean;
  /** True if it exists even if both widths are equal. */
  readonly always?: boolean;
}

/** Tensor names of the image front end (arXiv 2010.11929). */
interface ImageEmbedding {
  readonly kind: 'image';
  /** The projection of patches, a convolution, and whether it adds a bias; it does when absent. */
  readonly patches: string;
  readonly patchBias?: boolean;
  /** Tokens before the patches, starting with the class token. */
  readonly tokens: readonly string[];
  /** Of tokens and patches; families without have scores that depend on the grid. */
  readonly positions?: string;
  /** True if these have no batch axis: tokens [hidden], positions [count, hidden]. */
  readonly isFlat?: boolean;
  /** Tokens without positions, between the others and the patches (arXiv 2309.16588). */
  readonly registers?: string;
  readonly norm?: string;
  /** Stride of overlapping patches, in rows and columns. Defaults to the patch size. */
  readonly strides?: (config: EncoderConfig) => readonly [height: number, width: number];
  /**
   * True if the input is a spectrogram [time, frequency], which is transposed to one row per
   * frequency.
   */
  readonly isSpectrogram?: boolean;
}

/**
 * Part of the last hidden states that a head reads: all; the first token; the mean of the patches
 * (of all tokens if no tokens precede the patches); the last token; the concatenation of the first
 * and that mean; the mean of the first two; or the first end-of-text token.
 */
export type HeadReads =
  | 'all'
  | 'first'
  | 'mean'
  | 'last'
  | 'first-and-mean'
  | 'mean-of-two'
  | 'end';

/** Linear layer of a head, with the operations after it. */
export interface HeadStep {
  readonly name: string;
  /** Name of the bias, if it isn't `<name>.bias`. */
  readonly bias?: string;
  /** True if some models have no bias. */
  readonly optionalBias?: boolean;
  /** Number of rows: the hidden size, the embedding size, or the size in the checkpoint. */
  readonly out: 'hidden' | 'embedding' | 'vocabulary' | 'stored';
  /** The weight is the embedding of words where config.json ties them. */
  readonly tied?: boolean;
  /** `hidden_act` means the activation of the MLPs. */
  readonly activation?: string;
  readonly norm?: string;
}

/** Output head for one of the classes that config.json can name. */
export interface HeadForm {
  readonly class: string;
  /** Class of transformers that finds it. */
  readonly auto: string;
  readonly reads: HeadReads;
  /** For heads that read the end-of-text token: the id that means the largest id instead. */
  readonly largestAt?: number;
  /** Full name of the norm on its input. */
  readonly norm?: string;
  readonly steps: readonly HeadStep[];
  /** True if it pools the hidden states of the base model into one embedding per text. */
  readonly pools?: boolean;
  /** Name of the embedding that the class itself gives, instead of scores. */
  readonly gives?: string;
}

/** A table [buckets, heads] of biases by distance that all blocks share. */
interface SharedDistanceBias {
  /** Name below the model's prefix or the first block. */
  readonly table: string;
  readonly in: 'model' | 'first-block';
  /** Numbers of buckets and of distances, if config.json names them differently. */
  readonly buckets?: (config: EncoderConfig) => number;
  readonly farthest?: (config: EncoderConfig) => number;
  /** True if a part of each attention scales the bias. */
  readonly isGated?: boolean;
}

/** Architecture of a family of encoders. */
export interface EncoderArchitecture {
  /** `model_type` of config.json. */
  readonly modelType: string;
  /** Fields of config.json that tell it from decoders of that type. */
  readonly matchingFields?: ConfigFields;
  /** Classes in `architectures` that tell it from other parts of models of that type. */
  readonly headClasses?: readonly string[];
  /** True if its code is on the Hugging Face Hub, not in transformers. */
  readonly isFromHub?: boolean;
  /** Why it can have no modeling file, as a sentence. */
  readonly otherModules?: Message;
  /** Names in transformers: of the classes of configuration and of the model without a head. */
  readonly classes: { readonly config: string; readonly model: string };
  readonly config: ConfigLayout;
  /** Prefix of every name except the head's, if there is a head. */
  readonly prefix: string;
  readonly embedding: TextEmbedding | ImageEmbedding | AudioNames;
  /** Blocks are named `<prefix><blocks>.<number>.`. */
  readonly blocks: string;
  /**
   * Replaces the block's number in tensor names if several blocks share weights. Nothing can then
   * be removed.
   */
  readonly sharedBlocks?: (config: EncoderConfig, block: number) => string;
  readonly attention: Architecture['attention'];
  readonly feedforward: Architecture['feedforward'];
  /** MoE layers that replace MLPs, with the same norms. */
  readonly experts?: ExpertNames;
  readonly biases: (config: EncoderConfig) => Biases;
  /** `layer` when absent. */
  readonly norm?: NormKind;
  /** Weights are stored as [in, out]. */
  readonly transposed?: boolean;
  /** Parts of names, and their spellings in other checkpoints. */
  readonly aliases?: Architecture['aliases'];
  /** Names in block 0, which then no other block can become. */
  readonly firstAttention?: Architecture['attention'];
  /** One rotary embedding, or one for each type of layer; none when absent. */
  readonly rotary?: 'shared' | 'by-layer-type';
  /** True if queries and keys are rotated by the position of their patch in the image. */
  readonly gridRotary?: boolean;
  /** True if dimension 2i is rotated with 2i + 1, instead of i with i + half. */
  readonly interleavedRotary?: boolean;
  /** Window of a block's attention in each direction, or undefined for all tokens. */
  readonly slidingWindow?: (config: EncoderConfig, block: number) => number | undefined;
  /** Relative position bias shared by all blocks. */
  readonly distanceBias?: SharedDistanceBias;
  /** Of linear layers that are convolutions of width 1, by their names in a block: how many groups each has. */
  readonly groups?: (config: EncoderConfig) => Readonly<Record<string, number>>;
  /**
   * ALiBi slope of each head: decrease of its attention scores per position of distance (arXiv
   * 2108.12409).
   */
  readonly slopes?: (config: EncoderConfig) => readonly number[];
  /** MLP width, if config.json has a different value. */
  readonly innerSize?: (config: EncoderConfig) => number;
  readonly scales?: (config: EncoderConfig) => Partial<Scales>;
  /** Tensors outside the blocks whose size depends on the number of blocks; omitted if blocks are removed. */
  readonly sizedByBlocks?: readonly string[];
  /**
   * Prefixes of tensor names used only in training or by other heads. They stay in the files,
   * unused.
   */
  readonly unread?: readonly string[];
  /** True if attention is always causal, even if config.json says otherwise. */
  readonly causal?: boolean;
  /** Maximum sequence length, if it isn't `max_position_embeddings`. */
  readonly maxPositions?: (config: EncoderConfig) => number | undefined;
  readonly finalNorm?: string;
  /** Parts that depend on the config. */
  readonly form?: (config: EncoderConfig) => Partial<EncoderArchitecture>;
  readonly heads: readonly HeadForm[];
  /** Path of the layers in transformers, and the removable modules in each. */
  readonly modules: {
    readonly layers: string;
    readonly attention: BranchReplacements;
    readonly feedforward: BranchReplacements;
    /** Prefix of `layers` in models with a head, if it isn't the default prefix. */
    readonly prefix?: string;
    /** Matrices that transformers splits, by tensor name; their parts can't be compressed. */
    readonly splits?: readonly string[];
    /** Names of linear layers in transformers that differ from those in files, by name in files. */
    readonly linears?: Readonly<Record<string, string>>;
  };
}

/** Prefix of the classes in modeling_espalier.py; see export/. */
export const prunedClassPrefix = 'Espalier';

/** Stock transformers class for an entry of `architectures`: the name without Espalier's prefix. */
export const stockClass = (name: unknown): string => String(name).replace(prunedClassPrefix, '');

/** Architecture with the changes for the variant in its config. */
export const withVariant = (
  family: EncoderArchitecture,
  config: EncoderConfig,
): EncoderArchitecture => ({ ...family, ...family.form?.(config) });

/** The blocks of an encoder with this config. */
export function blockNames(
  { firstAttention, experts, ...architecture }: EncoderArchitecture,
  config: EncoderConfig,
): BlockArchitecture {
  const { attention, feedforward, rotary = 'none', interleavedRotary = false } = architecture;
  return {
    ...{ attention, feedforward, rotary, interleavedRotary },
    ...(experts === undefined ? {} : { experts }),
    biases: () => architecture.biases(config),
    slidingWindow: (_, block) => architecture.slidingWindow?.(config, block),
    innerSize: () => architecture.innerSize?.(config) ?? config.intermediate_size,
    blockForm: (_, block) =>
      block === 0 && firstAttention !== undefined ? { attention: firstAttention } : {},
  };
}

/** Modules of a block that patches replace: the last that computes a branch. */
export function patchModuleNames({
  modules: { attention, feedforward },
}: Pick<EncoderArchitecture, 'modules'>): Readonly<
  Record<'attention' | 'feedforward' | 'expert', string>
> {
  const last = (standIns: BranchReplacements): string =>
    Object.keys(standIns).findLast((name) => standIns[name] !== 'nn.Identity') ?? '';
  const second = last(feedforward);
  return { attention: last(attention), feedforward: second, expert: second };
}

/** Id of the end-of-text token, if a head reads its hidden state. */
export const endTokenId = (
  { reads, largestAt }: HeadForm,
  { eos_token_id: end }: ConfigFields,
): number | 'largest' | undefined =>
  reads === 'end' ? (end === largestAt ? 'largest' : Number(end)) : undefined;
