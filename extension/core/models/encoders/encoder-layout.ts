import type { Checkpoint } from '../../checkpoints/lazy-tensor';
import type { ModelFolder } from '../../checkpoints/model-folder';
import type { AttentionShape } from '../modules/attention-heads';
import { layOutBlocks } from '../modules/lay-out-blocks';
import type { FeedforwardShape } from '../modules/mlp';
import { readShapes } from '../modules/read-shapes';
import type { Sublayer } from '../modules/sublayer-list';
import type { GridRotary } from '../parts/grid-rotary';
import type { Linear } from '../parts/linear';
import { findDistanceBias } from '../parts/distance-bias';
import type { DistanceBias } from '../parts/distance-bias';
import type { Norm, NormStyle } from '../parts/norm';
import type { Rotary } from '../parts/rotary';
import type { EmbeddingAndHead } from '../transformer/embedding-and-head';
import type { PartKind } from '../transformer/architecture';
import { describedEncodings, TensorFinder } from '../transformer/tensor-finder';
import type { ModelConfig } from '../transformer/model-config';
import {
  blockNames,
  endTokenId,
  withVariant,
  patchModuleNames,
  stockClass,
} from './encoder-architecture';
import type { EncoderArchitecture, HeadForm, HeadReads } from './encoder-architecture';
import { findEmbedding, tokensBeforePatches } from './find-embedding';
import type { EncoderEmbedding } from './find-embedding';
import type { EncoderConfig } from './encoder-config';

/** A linear layer of the head with its weights found. */
export interface EncoderHeadStep {
  /** Name of its weight, even if it is tied to the embedding. */
  readonly id: string;
  readonly linear: Linear;
  readonly activation: string | undefined;
  readonly norm: Norm | undefined;
}

/** An encoder whose every tensor has been found in the checkpoint. */
export interface EncoderLayout {
  readonly norm: NormStyle;
  readonly attention: AttentionShape;
  readonly feedforward: FeedforwardShape;
  readonly embedding: EncoderEmbedding;
  /** Norms before the first sublayer: the embedding's, and those of removed sublayers. */
  readonly startNorms: readonly Norm[];
  /** True if attention is causal. */
  readonly causal: boolean;
  /** Tensors outside the blocks whose size depends on the number of blocks. */
  readonly sizedByBlocks: readonly string[];
  /** Rotary embeddings by the name of their side values. */
  readonly rotaries: ReadonlyMap<string, Rotary>;
  /** 2D rotary embedding of image patches. */
  readonly gridRotary: GridRotary | undefined;
  readonly distanceBias: DistanceBias | undefined;
  /** ALiBi slope of each head. */
  readonly slopes: readonly number[] | undefined;
  /** Tensors in the first block that all blocks use. */
  readonly sharedByBlocks: readonly string[];
  /** Relative position bias, multiplied by a gate of each attention. */
  readonly gatedBias: DistanceBias | undefined;
  readonly finalNorm: Norm | undefined;
  /** The head, or undefined where the output is the last hidden states. */
  readonly head:
    | {
        readonly reads: HeadReads;
        /** True if it pools the hidden states of the base model into one embedding per text. */
        readonly pools: boolean;
        /** Name of the embedding that the class gives, instead of scores. */
        readonly gives: string | undefined;
        /** Id of the token that ends a text, where its states are read. */
        readonly end: number | 'largest' | undefined;
        readonly norm: Norm | undefined;
        readonly steps: readonly EncoderHeadStep[];
      }
    | undefined;
  /** True if the family ties this head to the embedding by default. */
  readonly canTie: boolean;
  /** Most positions of a text. */
  readonly maxPositions: number | undefined;
  readonly sublayers: readonly Sublayer[];
  readonly blocksPrefix: string;
  /** Modules of a block that patches replace. */
  readonly patchModules: Readonly<Partial<Record<PartKind, string>>>;
  readonly absent: readonly string[];
  readonly unused: readonly string[];
  readonly computed: readonly string[];
}

/**
 * True for stored values that can be computed: position ids, frequencies, and a duplicate of a tied bias in older
 * exports, and quantization buffers of I-BERT.
 */
const isComputed = (name: string): boolean =>
  /embeddings\.position_ids$|\.relative_position_index$|\.decoder\.bias$|encoder\.embed_positions\.weight$|\.inv_freq$/.test(
    name,
  ) || /(?:_integer|scaling_factor|\.x_min|\.x_max|\.shift)$/.test(name);

/**
 * Finds every tensor that a model of `family` needs and checks its shape.
 * @throws UserError naming the tensor or config field at fault.
 */
export function layOutEncoder(
  family: EncoderArchitecture,
  config: EncoderConfig,
  folder: ModelFolder,
  checkpoint: Checkpoint,
): EncoderLayout {
  const architecture = withVariant(family, config);
  const { norm: normKind = 'layer' } = architecture;
  const { attention, feedforward } = readShapes(
    { ...architecture, norm: normKind },
    config,
    folder,
    architecture.scales?.(config) ?? {},
  );
  const { hiddenSize: hidden, norm } = attention;
  const hasPrefix = [...checkpoint.tensors.keys()].some((name) =>
    name.startsWith(architecture.prefix),
  );
  const prefix = hasPrefix ? architecture.prefix : '';
  const blocksPrefix = findBlocksPrefix(architecture, checkpoint, prefix);
  const groups = architecture.groups?.(config) ?? {};
  const tensors = new TensorFinder(
    checkpoint,
    {
      norm: normKind,
      transposed: architecture.transposed ?? false,
      aliases: architecture.aliases ?? {},
    },
    describedEncodings(
      config.espalier?.compressed,
      (block) => `${blocksPrefix}${block}.`,
      folder.config,
    ),
    (name) => groups[name.slice(blocksPrefix.length).replace(/^\d+\./, '')],
  );
  const { embedding, startNorms } = findEmbedding(architecture, config, folder, tensors, prefix);
  const patchModules = patchModuleNames(architecture);
  const { distanceBias: bias } = architecture;
  const biasPlace = bias?.in === 'model' ? prefix : `${blocksPrefix}0.`;
  const sharedBias = bias && findSharedBias(bias, biasPlace, config, tensors, attention.numHeads);
  const isGated = bias?.isGated === true;
  const { list, rotaries } = layOutBlocks(blockNames(architecture, config), {
    ...{ folder, tensors, attention, feedforward, patchModules, startNorms },
    // It has the fields of blocks.
    config: config as ModelConfig,
    placeOf: (block) => `${blocksPrefix}${architecture.sharedBlocks?.(config, block) ?? block}.`,
    surroundings: {
      outside: prefix,
      grid: embedding.kind === 'image' ? embedding.grid : undefined,
    },
  });
  const form = headForm(architecture, config);
  const head = form && findHead(form, config, tensors, embedding);
  tensors.requireAllEncodings();
  const { finalNorm, unread = [] } = architecture;
  const isExpected = (name: string): boolean =>
    isComputed(name) || unread.some((start) => name.startsWith(`${prefix}${start}`));
  return {
    norm,
    attention,
    feedforward,
    embedding,
    startNorms,
    causal: architecture.causal ?? config.is_decoder === true,
    sizedByBlocks: (architecture.sizedByBlocks ?? []).map((name) => `${prefix}${name}`),
    rotaries,
    gridRotary:
      architecture.gridRotary === true && embedding.kind === 'image'
        ? {
            headDim: attention.headDim,
            theta: config.rope_theta ?? 100,
            grid: embedding.grid,
            before: tokensBeforePatches(embedding),
          }
        : undefined,
    distanceBias: isGated ? undefined : sharedBias,
    slopes: architecture.slopes?.(config),
    // A gated table stays with the attention of the first block.
    sharedByBlocks:
      sharedBias && bias.in === 'first-block' && !isGated ? [sharedBias.table.name] : [],
    gatedBias: isGated ? sharedBias : undefined,
    finalNorm: finalNorm === undefined ? undefined : tensors.norm(`${prefix}${finalNorm}`, hidden),
    head,
    canTie: form?.steps.some(({ tied }) => tied) === true,
    maxPositions: mostPositions(architecture, config, embedding),
    sublayers: list.sublayers,
    blocksPrefix,
    patchModules,
    absent: list.absent,
    unused: tensors.unused().filter((name) => !isExpected(name)),
    computed: tensors.unused().filter(isExpected),
  };
}

/** Finds the table of position biases that the attentions of all blocks share. */
function findSharedBias(
  bias: NonNullable<EncoderArchitecture['distanceBias']>,
  place: string,
  config: EncoderConfig,
  tensors: TensorFinder,
  numHeads: number,
): ReturnType<typeof findDistanceBias> {
  return findDistanceBias(
    tensors,
    {
      table: `${place}${bias.table}`,
      buckets: bias.buckets?.(config) ?? config.relative_attention_num_buckets,
      farthest: bias.farthest?.(config) ?? config.relative_attention_max_distance,
      causal: false,
    },
    numHeads,
  );
}

function findHead(
  form: HeadForm,
  config: EncoderConfig,
  tensors: TensorFinder,
  embedding: EncoderEmbedding,
): NonNullable<EncoderLayout['head']> {
  return {
    reads: form.reads,
    pools: form.pools ?? false,
    gives: form.gives,
    end: endTokenId(form, config),
    norm: form.norm === undefined ? undefined : tensors.norm(form.norm, config.hidden_size),
    steps: findSteps(form, config, tensors, embedding),
  };
}

/** The matrices outside the sublayers. */
export function getEmbeddingAndHead({
  embedding,
  head,
}: Pick<EncoderLayout, 'embedding' | 'head'>): EmbeddingAndHead {
  return {
    embedding: embedding.kind === 'text' ? embedding.words : undefined,
    // Linear layers after pooling are stored in separate files and don't change.
    heads: head?.pools === false ? head.steps : [],
  };
}

/** The head of the class that config.json names, if it is known. */
export function headForm(
  { heads }: EncoderArchitecture,
  { architectures }: Pick<EncoderConfig, 'architectures'>,
): HeadForm | undefined {
  const [name = ''] = architectures ?? [];
  return heads.find((form) => form.class === stockClass(name));
}

/** Steps of the head; each reads the output of the previous one. */
function findSteps(
  { steps, reads }: HeadForm,
  config: EncoderConfig,
  tensors: TensorFinder,
  embedding: EncoderEmbedding,
): EncoderHeadStep[] {
  const { hidden_size: hidden } = config;
  const words = embedding.kind === 'text' ? embedding.words : undefined;
  const [vocabulary = 0, width = hidden] = words?.weight.shape ?? [];
  let input = reads === 'first-and-mean' ? 2 * hidden : hidden;
  return steps.map((step) => {
    const { name, bias = `${name}.bias`, optionalBias = false } = step;
    const out = { hidden, embedding: width, vocabulary, stored: tensors.rows(name) }[step.out];
    const tied = step.tied === true && config.tie_word_embeddings ? words : undefined;
    const matrix =
      tied === undefined || tensors.hasMatrix(name)
        ? tensors.embeddingAndHead('head', name, out, input)
        : tied;
    input = out;
    const added =
      optionalBias && !tensors.has(bias) ? undefined : { bias: tensors.take(bias, [out]) };
    return {
      id: `${name}.weight`,
      linear: { ...matrix, ...added },
      activation: step.activation === 'hidden_act' ? config.hidden_act : step.activation,
      norm: step.norm === undefined ? undefined : tensors.norm(step.norm, out),
    };
  });
}

/** Some checkpoints have the blocks outside the module that the other names begin with. */
function findBlocksPrefix(
  { blocks }: EncoderArchitecture,
  checkpoint: Checkpoint,
  prefix: string,
): string {
  const inside = `${prefix}${blocks}.`;
  const names = [...checkpoint.tensors.keys()];
  const starts = (start: string): boolean => names.some((name) => name.startsWith(start));
  return starts(inside) || !starts(`${blocks}.`) ? inside : `${blocks}.`;
}

/** Most positions of a text. */
function mostPositions(
  { maxPositions }: EncoderArchitecture,
  config: EncoderConfig,
  embedding: EncoderEmbedding,
): number | undefined {
  if (embedding.kind !== 'text') {
    return undefined;
  }
  const most = config.max_position_embeddings - (embedding.padding ?? -1) - 1;
  return Math.min(most, maxPositions?.(config) ?? most);
}
