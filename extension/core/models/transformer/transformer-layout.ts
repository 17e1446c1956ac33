import type { Checkpoint, LazyTensor } from '../../checkpoints/lazy-tensor';
import type { Architecture, PartKind, QueryGrowth, Scales, SinePositions } from './architecture';
import { carriedStreams } from './carried-streams';
import type { CarriedStream } from './carried-streams';
import type { AttentionShape } from '../modules/attention-heads';
import { layOutBlocks } from '../modules/lay-out-blocks';
import { findEnds } from './find-ends';
import type { AltUp } from '../parts/streams/altup';
import type { BlockEnd, PerLayer } from '../parts/block-end';
import { readShapes } from '../modules/read-shapes';
import type { Sublayer } from '../modules/sublayer-list';
import type { FeedforwardShape } from '../modules/mlp';
import type { ConnectedStreams } from '../parts/streams/connection';
import { findStreams } from '../parts/streams/find-connections';
import type { Linear } from '../parts/linear';
import { mixerShape } from '../modules/mixer';
import type { MixerShape } from '../modules/mixer';
import type { SharedModules } from '../shared-modules';
import type { ModelConfig } from './model-config';
import type { ModelFolder } from '../../checkpoints/model-folder';
import type { Norm } from '../parts/norm';
import type { EmbeddingAndHead } from './embedding-and-head';
import type { Rotary } from '../parts/rotary';
import { describedEncodings, nameSpellings, TensorFinder } from './tensor-finder';

/** Names within a block of the modules that patches replace. */
function patchModuleNames(family: Architecture): Record<PartKind, string> {
  const { attention, mixer, feedforward } = family;
  const moduleName = (name: string): string => name.split('.')[0] ?? name;
  const second = moduleName(feedforward.down);
  return {
    attention: moduleName(attention.output),
    mixer: moduleName(mixer?.module ?? attention.output),
    feedforward: second,
    expert: second,
  };
}

/** A decoder-only transformer whose every tensor has been found in the checkpoint. */
export interface TransformerLayout {
  readonly attention: AttentionShape;
  readonly feedforward: FeedforwardShape;
  /** Undefined for a family without mixers. */
  readonly mixer: MixerShape | undefined;
  readonly vocabularySize: number;
  readonly scales: Scales;
  /** ALiBi slope of each head. */
  readonly slopes: readonly number[] | undefined;
  /** Growth of queries with their position. */
  readonly queryGrowth: QueryGrowth | undefined;
  /** Rotary embeddings by the name of their side values. */
  readonly rotaries: ReadonlyMap<string, Rotary>;
  readonly embedding: Linear;
  /** Added to the embedding: row position + offset of a table, or sines. */
  readonly positions:
    | { readonly weight: LazyTensor; readonly offset: number }
    | SinePositions
    | undefined;
  readonly embeddingNorm: Norm | undefined;
  /** Norms of removed sublayers before the first remaining one. */
  readonly startNorms: readonly Norm[];
  readonly startEnds: readonly BlockEnd[];
  /** Per-layer embeddings, if any. */
  readonly perLayer: PerLayer | undefined;
  /** Additional streams of AltUp. */
  readonly altUp: AltUp | undefined;
  /** Streams that every sublayer reads and changes all of, which are one as wide as all here. */
  readonly streams: ConnectedStreams | undefined;
  /** Hidden states that later attention layers compute keys and values from. */
  readonly carried: readonly CarriedStream[];
  /** True if `embeddingNorm` is applied to token embeddings alone, before positions are added. */
  readonly normsWordsAlone: boolean;
  /** Projections from the embedding's width to the hidden size, and back before the head. */
  readonly projections: { readonly in: Linear; readonly out: Linear } | undefined;
  readonly finalNorm: Norm | undefined;
  /** The embedding's weight if tied. */
  readonly head: Linear;
  /** Name of the head's weight, even if it is tied and not stored. */
  readonly headId: string;
  readonly sublayers: readonly Sublayer[];
  /** Prefix of the tensor names of blocks, before the block's number. */
  readonly blocksPrefix: string;
  /** Modules of a block that patches replace. */
  readonly patchModules: Readonly<Record<PartKind, string>>;
  /** Ids of sublayers that were already removed. */
  readonly absent: readonly string[];
  /** Tensors of the checkpoint that no part of the model uses. */
  readonly unused: readonly string[];
  /** A module that blocks share, in turns. */
  readonly sharedModules: SharedModules | undefined;
  /** Buffers of the checkpoint that are computed instead. */
  readonly computed: readonly string[];
}

/** Older exports store the frequencies of rotary embeddings and the causal masks, MiniMax powers of its decays. */
const isComputed = (name: string): boolean =>
  /\.(?:rotary_emb\.inv_freq|(?:attn|attention)\.(?:bias|masked_bias)|self_attn\.(?:query|key|diagonal)_decay)$/.test(
    name,
  );

/**
 * Finds every tensor that `architecture` needs and checks its shape and dtype.
 * @throws UserError naming the tensor or config field at fault.
 */
export function layOutTransformer(
  architecture: Architecture,
  config: ModelConfig,
  folder: ModelFolder,
  checkpoint: Checkpoint,
): TransformerLayout {
  const scales: Scales = { ...plainScales, ...architecture.scales?.(config) };
  const { attention, feedforward } = readShapes(
    architecture,
    config,
    folder,
    scales,
    architecture.latent?.(config),
  );
  const { hiddenSize } = attention;
  const mixer = mixerShape(architecture.mixer, config, attention);
  const { embeddingAndHead } = architecture;
  const prefix =
    embeddingAndHead.prefixes.find((one) =>
      ['weight', 'quants'].some((part) =>
        nameSpellings(architecture, `${one}${embeddingAndHead.embedding}.${part}`).some((name) =>
          checkpoint.tensors.has(name),
        ),
      ),
    ) ??
    embeddingAndHead.prefixes[0] ??
    '';
  const blocksPrefix = `${prefix}${embeddingAndHead.blocks}.`;
  const tensors = new TensorFinder(
    checkpoint,
    architecture,
    describedEncodings(
      config.espalier?.compressed,
      (block) => `${blocksPrefix}${block}.`,
      folder.config,
    ),
  );
  const { projections } = embeddingAndHead;
  const width = projections === undefined ? hiddenSize : (config.word_embed_proj_dim ?? hiddenSize);
  const normIfAny = (name: string | undefined): Norm | undefined =>
    name === undefined ? undefined : tensors.norm(`${prefix}${name}`, hiddenSize);
  const embedding = tensors.embeddingAndHead(
    'embedding',
    `${prefix}${embeddingAndHead.embedding}`,
    config.vocab_size,
    width,
  );
  const { headId, head } = findHead(architecture, config, tensors, embedding);
  const patchModules = patchModuleNames(architecture);
  const ends = findEnds(architecture, config, tensors, prefix);
  const { list, rotaries, starts } = layOutBlocks(architecture, {
    ...{ config, folder, tensors, attention, feedforward, mixer, patchModules, ends },
    placeOf: (block) => `${blocksPrefix}${block}.`,
  });
  tensors.requireAllEncodings();
  return {
    attention,
    feedforward,
    mixer,
    vocabularySize: config.vocab_size,
    scales,
    slopes: architecture.slopes?.(config),
    queryGrowth: architecture.queryGrowth?.(config),
    rotaries,
    embedding,
    positions: findPositions(architecture, config, tensors, prefix),
    embeddingNorm: normIfAny(embeddingAndHead.embeddingNorm),
    startNorms: list.startNorms,
    startEnds: list.startEnds,
    perLayer: ends.perLayer,
    altUp: ends.altUp,
    streams: findStreams(architecture.connections, config, tensors, prefix),
    carried: carriedStreams(list.sublayers, starts, list.startEnds),
    normsWordsAlone: embeddingAndHead.normsWordsAlone ?? false,
    projections:
      projections === undefined || width === hiddenSize
        ? undefined
        : {
            in: tensors.linear(`${prefix}${projections.in}`, hiddenSize, width, false),
            out: tensors.linear(`${prefix}${projections.out}`, width, hiddenSize, false),
          },
    finalNorm: normIfAny(embeddingAndHead.finalNorm),
    head,
    headId,
    sublayers: list.sublayers,
    blocksPrefix,
    patchModules,
    absent: list.absent,
    sharedModules: architecture.shared?.modules(config),
    unused: tensors.unused().filter((name) => !isComputed(name)),
    computed: tensors.unused().filter(isComputed),
  };
}

/** Embedding and LM head. */
export function getEmbeddingAndHead({
  embedding,
  head,
  headId,
}: Pick<TransformerLayout, 'embedding' | 'head' | 'headId'>): EmbeddingAndHead & {
  readonly embedding: Linear;
} {
  return { embedding, heads: [{ id: headId, linear: head }] };
}

const plainScales: Scales = {
  embedding: 1,
  residual: 1,
  attention: undefined,
  attentionSoftCap: undefined,
  logits: 1,
  logitSoftCap: undefined,
};

/** The head under any of its names, or the embedding where it is tied to it. */
function findHead(
  { embeddingAndHead: { heads = ['lm_head'], headBias = false } }: Architecture,
  config: ModelConfig,
  tensors: TensorFinder,
  embedding: Linear,
): Pick<TransformerLayout, 'head' | 'headId'> {
  const [usual = ''] = heads;
  const name = heads.find((one) => tensors.hasMatrix(one)) ?? usual;
  const [rows = 0, width = 0] = embedding.weight.shape;
  const isStored = !config.tie_word_embeddings || tensors.hasMatrix(name);
  const matrix = isStored ? tensors.embeddingAndHead('head', name, rows, width) : embedding;
  const head = { ...matrix, ...(headBias ? { bias: tensors.take(`${name}.bias`, [rows]) } : {}) };
  return { head, headId: `${name}.weight` };
}

function findPositions(
  { embeddingAndHead: { positions } }: Architecture,
  config: ModelConfig,
  tensors: TensorFinder,
  prefix: string,
): TransformerLayout['positions'] {
  if (positions === undefined || !('name' in positions)) {
    return positions;
  }
  const { name, offset } = positions;
  const rows = config.max_position_embeddings + offset;
  return { weight: tensors.take(`${prefix}${name}.weight`, [rows, config.hidden_size]), offset };
}
