import type { Checkpoint } from '../../checkpoints/lazy-tensor';
import type { Architecture, PartKind, QueryGrowth, Scales } from './architecture';
import { carriedStreams } from './carried-streams';
import type { CarriedStream } from './carried-streams';
import type { AttentionShape } from '../modules/attention-heads';
import { Epilogue } from '../modules/epilogue';
import type { LmHead } from '../modules/epilogue';
import { WordEmbedding } from '../modules/word-embedding';
import type { Positions } from '../modules/word-embedding';
import { layOutBlocks } from '../modules/lay-out-blocks';
import { findEnds } from './find-ends';
import type { AltUp } from '../parts/streams/altup';
import type { BlockEnd, PerLayer } from '../parts/block-end';
import { readShapes } from '../modules/read-shapes';
import type { Sublayer } from '../modules/sublayer-list';
import type { FeedforwardShape } from '../modules/mlp';
import type { ConnectedStreams } from '../parts/streams/hyper-connections';
import { findStreams } from '../parts/streams/hyper-connections';
import type { Linear } from '../parts/linear';
import { mixerShape } from '../modules/mixer';
import type { MixerShape } from '../modules/mixer';
import type { SharedModules } from '../shared-modules';
import type { ModelConfig } from './model-config';
import type { ModelFolder } from '../../checkpoints/model-folder';
import type { Norm } from '../parts/norm';
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
  /** ALiBi slope of each head. */
  readonly slopes: readonly number[] | undefined;
  /** Growth of queries with their position. */
  readonly queryGrowth: QueryGrowth | undefined;
  /** Rotary embeddings by the name of their side values. */
  readonly rotaries: ReadonlyMap<string, Rotary>;
  readonly embedding: WordEmbedding;
  readonly epilogue: Epilogue;
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
  readonly sublayers: readonly Sublayer[];
  /** Prefix of the tensor names of blocks, before the block's number. */
  readonly blocksPrefix: string;
  /** Modules of a block that patches replace. */
  readonly patchModules: Readonly<Record<PartKind, string>>;
  /** Ids of sublayers that were already removed. */
  readonly absent: readonly string[];
  /** Tensors of the checkpoint that no part of the model uses. */
  readonly unused: readonly string[];
  /** Modules that blocks use in turn. */
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
  const { embedding, epilogue } = findEmbeddingAndHead(
    architecture,
    config,
    tensors,
    { prefix, scales },
    attention,
  );
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
    slopes: architecture.slopes?.(config),
    queryGrowth: architecture.queryGrowth?.(config),
    rotaries,
    embedding,
    epilogue,
    startNorms: list.startNorms,
    startEnds: list.startEnds,
    perLayer: ends.perLayer,
    altUp: ends.altUp,
    streams: findStreams(architecture.connections, config, tensors, prefix),
    carried: carriedStreams(list.sublayers, starts, list.startEnds),
    sublayers: list.sublayers,
    blocksPrefix,
    patchModules,
    absent: list.absent,
    sharedModules: architecture.shared?.modules(config),
    unused: tensors.unused().filter((name) => !isComputed(name)),
    computed: tensors.unused().filter(isComputed),
  };
}

/** Finds the token embedding, the final norm and the LM head. */
function findEmbeddingAndHead(
  architecture: Architecture,
  config: ModelConfig,
  tensors: TensorFinder,
  { prefix, scales }: { readonly prefix: string; readonly scales: Scales },
  { hiddenSize, norm }: AttentionShape,
): { readonly embedding: WordEmbedding; readonly epilogue: Epilogue } {
  const { embeddingAndHead } = architecture;
  const { projections } = embeddingAndHead;
  const width = projections === undefined ? hiddenSize : (config.word_embed_proj_dim ?? hiddenSize);
  const normIfAny = (name: string | undefined): Norm | undefined =>
    name === undefined ? undefined : tensors.norm(`${prefix}${name}`, hiddenSize);
  const table = tensors.embeddingAndHead(
    'embedding',
    `${prefix}${embeddingAndHead.embedding}`,
    config.vocab_size,
    width,
  );
  const projection = (name: string | undefined, out: number, input: number): Linear | undefined =>
    name === undefined || width === hiddenSize
      ? undefined
      : tensors.linear(`${prefix}${name}`, out, input, false);
  const embeddingNorm = normIfAny(embeddingAndHead.embeddingNorm);
  const embedding = new WordEmbedding(
    {
      table,
      scale: scales.embedding,
      projection: projection(projections?.in, hiddenSize, width),
      wordNorm: normIfAny(embeddingAndHead.wordNorm),
      positions: findPositions(architecture, config, tensors, prefix),
      norms: embeddingNorm === undefined ? [] : [embeddingNorm],
    },
    norm,
    hiddenSize,
  );
  const head = {
    ...findHead(architecture, config, tensors, table),
    inputScale: 1,
    projection: projection(projections?.out, width, hiddenSize),
    logitScale: scales.logits,
    softCap: scales.logitSoftCap,
  };
  const epilogue = new Epilogue(normIfAny(embeddingAndHead.finalNorm), head, norm);
  return { embedding, epilogue };
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
): Pick<LmHead, 'id' | 'linear'> {
  const [usual = ''] = heads;
  const name = heads.find((one) => tensors.hasMatrix(one)) ?? usual;
  const [rows = 0, width = 0] = embedding.weight.shape;
  const isStored = !config.tie_word_embeddings || tensors.hasMatrix(name);
  const matrix = isStored ? tensors.embeddingAndHead('head', name, rows, width) : embedding;
  const bias = headBias ? { bias: tensors.take(`${name}.bias`, [rows]) } : {};
  return { id: `${name}.weight`, linear: { ...matrix, ...bias } };
}

function findPositions(
  { embeddingAndHead: { positions } }: Architecture,
  config: ModelConfig,
  tensors: TensorFinder,
  prefix: string,
): Positions | undefined {
  if (positions === undefined || !('name' in positions)) {
    return positions;
  }
  const { name, offset } = positions;
  const rows = config.max_position_embeddings + offset;
  return { weight: tensors.take(`${prefix}${name}.weight`, [rows, config.hidden_size]), offset };
}
