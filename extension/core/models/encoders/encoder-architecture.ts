import type {
  Architecture,
  Biases,
  BlockArchitecture,
  ExpertNames,
  Scales,
} from '../transformer/architecture';
import type { ConfigFields, ConfigLayout } from '../transformer/config-layout';
import type { NormKind } from '../parts/norm';
import type { StandIns } from '../stand-ins';
import type { Message } from '../../message';
import type { AttentionVariant } from './attention-variants';
import type { AudioNames } from './audio-embedding';
import type { EncoderConfig } from './encoder-config';

/** Names of the tensors that words, positions and segments are looked up in. */
interface TextEmbedding {
  readonly kind: 'text';
  readonly words: string;
  /** Learned positions; families without turn queries and keys. */
  readonly positions?: string;
  /** Of families with segments. */
  readonly types?: string;
  /** Rows of `positions` in front of that of position 0. */
  readonly positionOffset?: number;
  /** Tables of what a text alone does not have, such as boxes on a page: their first rows are added. */
  readonly firstRows?: readonly string[];
  /** Of the sum of them. */
  readonly norm?: string;
  /** Linear layer from the width of the embedding to that of the stream, in families where these differ. */
  readonly projection?: EmbeddingProjection;
  /** Tables of what a text alone does not have, whose first rows stand behind its words; all are then projected. */
  readonly joined?: {
    readonly tables: (config: EncoderConfig) => readonly string[];
    readonly projection: string;
  };
  /** Id of a token that words are hidden by: it counts 0, and the others more (ESM-2, doi 10.1126/science.ade2574). */
  readonly hiddenBy?: (config: EncoderConfig) => number | undefined;
  /** Whether positions count from the padding's id + 1 and pass over padding, instead of from 0. */
  readonly positionsSkipPadding?: boolean;
}

/** A linear layer behind the norm of the embedding, or (`beforeNorm`) in front of it. */
interface EmbeddingProjection {
  readonly name: string;
  readonly bias: boolean;
  readonly beforeNorm?: boolean;
  /** Whether it is there even where the widths are alike. */
  readonly always?: boolean;
}

/** Names of the tensors that make a sequence of an image (arXiv 2010.11929). */
interface ImageEmbedding {
  readonly kind: 'image';
  /** The projection of patches, a convolution, and whether it adds a bias; it does when absent. */
  readonly patches: string;
  readonly patchBias?: boolean;
  /** Of the tokens in front of the patches, the class token first. */
  readonly tokens: readonly string[];
  /** Of tokens and patches; families without have scores that depend on the grid. */
  readonly positions?: string;
  /** Whether these have no axis for the batch: tokens [hidden], positions [count, hidden]. */
  readonly isFlat?: boolean;
  /** Tokens without positions, between the others and the patches (arXiv 2309.16588). */
  readonly registers?: string;
  readonly norm?: string;
  /** How far apart patches begin where they overlap, in rows and columns; as far as they are large when absent. */
  readonly strides?: (config: EncoderConfig) => readonly [height: number, width: number];
  /** Whether images are sounds: [time, frequency], read with a row for each frequency. */
  readonly isSpectrogram?: boolean;
}

/**
 * What a head reads of the last hidden states: all, those of the first token, the mean of the patches (of all where
 * nothing stands in front of them), the last token, the first and that mean side by side, the mean of the first two, or
 * the first token that ends a text.
 */
export type HeadReads =
  | 'all'
  | 'first'
  | 'mean'
  | 'last'
  | 'first-and-mean'
  | 'mean-of-two'
  | 'end';

/** A linear layer of a head, and what follows it. */
export interface HeadStep {
  readonly name: string;
  /** Name of the bias where it is not beside the weight. */
  readonly bias?: string;
  /** Whether some models have none. */
  readonly optionalBias?: boolean;
  /** Number of rows: the width of the stream or the embedding, or what the checkpoint has. */
  readonly out: 'hidden' | 'embedding' | 'vocabulary' | 'stored';
  /** The weight is the embedding of words where config.json ties them. */
  readonly tied?: boolean;
  /** `hidden_act` stands for the activation of the feed-forwards. */
  readonly activation?: string;
  readonly norm?: string;
}

/** What is computed of the last hidden states, by the class that config.json names. */
export interface HeadForm {
  readonly class: string;
  /** Class of transformers that finds it. */
  readonly auto: string;
  readonly reads: HeadReads;
  /** Where it reads the end of a text: the id of it that stands for the largest id instead. */
  readonly largestAt?: number;
  /** Of what is read; its whole name. */
  readonly norm?: string;
  readonly steps: readonly HeadStep[];
  /** Whether it makes one embedding of a text, behind what the model's class gives. */
  readonly pools?: boolean;
  /** Name of the embedding that the class itself gives, instead of scores. */
  readonly gives?: string;
}

/** How a family of encoders differs from the others. */
export interface EncoderArchitecture {
  /** `model_type` of config.json. */
  readonly modelType: string;
  /** Fields of config.json that tell it from decoders of that type. */
  readonly told?: ConfigFields;
  /** Classes in `architectures` that tell it from other parts of models of that type. */
  readonly ofClasses?: readonly string[];
  /** Whether its classes come with code from the hub, not with transformers. */
  readonly isFromHub?: boolean;
  /** Why it can have no modelling file, as a sentence. */
  readonly otherModules?: Message;
  /** Names in transformers: of the classes of configuration and of the model without a head. */
  readonly classes: { readonly config: string; readonly model: string };
  readonly config: ConfigLayout;
  /** What stands before every name but the head's where there is a head. */
  readonly prefix: string;
  readonly embedding: TextEmbedding | ImageEmbedding | AudioNames;
  /** Blocks are named `<prefix><blocks>.<number>.`. */
  readonly blocks: string;
  /** What stands for the number of a block where several share their weights; nothing of them can then be removed. */
  readonly sharedBlocks?: (config: EncoderConfig, block: number) => string;
  readonly attention: Architecture['attention'];
  readonly feedforward: Architecture['feedforward'];
  /** Mixtures of experts in place of feed-forwards, with the same norms. */
  readonly experts?: ExpertNames;
  readonly biases: (config: EncoderConfig) => Biases;
  /** `layer` when absent. */
  readonly norm?: NormKind;
  /** Weights are stored as [in, out]. */
  readonly transposed?: boolean;
  /** Parts of names, and what stands in their places in some checkpoints. */
  readonly aliases?: Architecture['aliases'];
  /** Names in block 0, which then no other block can become. */
  readonly firstAttention?: Architecture['attention'];
  /** One rotary embedding, or one for each type of layer; none when absent. */
  readonly rotary?: 'shared' | 'by-layer-type';
  /** Whether queries and keys are turned by where patches are in the image. */
  readonly gridRotary?: boolean;
  /** Dimension 2i is turned with 2i + 1, instead of i with i + half of them. */
  readonly interleavedRotary?: boolean;
  /** How far to both sides a block's attention sees, or everywhere. */
  readonly slidingWindow?: (config: EncoderConfig, block: number) => number | undefined;
  /** What its attention has besides projections. */
  readonly variant?: AttentionVariant;
  /** Of linear layers that are convolutions of width 1, by their names in a block: how many groups each has. */
  readonly groups?: (config: EncoderConfig) => Readonly<Record<string, number>>;
  /** What a score loses per position of distance, for each head (ALiBi, arXiv 2108.12409). */
  readonly slopes?: (config: EncoderConfig) => readonly number[];
  /** Width of feed-forwards, where config.json says another number. */
  readonly innerSize?: (config: EncoderConfig) => number;
  readonly scales?: (config: EncoderConfig) => Partial<Scales>;
  /** Tensors outside the blocks whose size depends on their number: a model with fewer goes without. */
  readonly sizedByBlocks?: readonly string[];
  /** What training or other heads read, by the start of names below the prefix: it stays in the files, unused. */
  readonly unread?: readonly string[];
  /** Whether a token sees those before it alone, whatever config.json says. */
  readonly causal?: boolean;
  /** Longest text, where it is no matter of positions. */
  readonly maxPositions?: (config: EncoderConfig) => number | undefined;
  readonly finalNorm?: string;
  /** What depends on the config besides. */
  readonly form?: (config: EncoderConfig) => Partial<EncoderArchitecture>;
  readonly heads: readonly HeadForm[];
  /** Where transformers has the layers, and what of them goes. */
  readonly modules: {
    readonly layers: string;
    readonly attention: StandIns;
    readonly feedforward: StandIns;
    /** What stands before `layers` where a model has a head, if it is not the prefix. */
    readonly prefix?: string;
    /** Matrices that transformers splits, by their names in files: their parts cannot take other forms. */
    readonly splits?: readonly string[];
    /** Where transformers has linear layers that are named otherwise in files, by those names. */
    readonly linears?: Readonly<Record<string, string>>;
  };
}

/** Prefix of the classes in modeling_espalier.py; see export/. */
export const prunedClassPrefix = 'Espalier';

/** The class of transformers that a class in `architectures` is made of, or is. */
export const stockClass = (name: unknown): string => String(name).replace(prunedClassPrefix, '');

/** A family as a config says that it is. */
export const inForm = (
  family: EncoderArchitecture,
  config: EncoderConfig,
): EncoderArchitecture => ({ ...family, ...family.form?.(config) });

/** The blocks of an encoder with this config. */
export function blocksOf(
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
export function patchModulesOf({
  modules: { attention, feedforward },
}: Pick<EncoderArchitecture, 'modules'>): Readonly<
  Record<'attention' | 'feedforward' | 'expert', string>
> {
  const last = (standIns: StandIns): string =>
    Object.keys(standIns).findLast((name) => standIns[name] !== 'nn.Identity') ?? '';
  const second = last(feedforward);
  return { attention: last(attention), feedforward: second, expert: second };
}

/** Id of the token that ends a text, where a head reads its states. */
export const endOf = (
  { reads, largestAt }: HeadForm,
  { eos_token_id: end }: ConfigFields,
): number | 'largest' | undefined =>
  reads === 'end' ? (end === largestAt ? 'largest' : Number(end)) : undefined;
