import type { Checkpoint } from '../../checkpoints/lazy-tensor';
import type { ModelFolder } from '../../checkpoints/model-folder';
import { UserError } from '../../user-error';
import { prunedClassPrefix } from '../encoders/encoder-architecture';
import type { AttentionShape } from '../modules/attention-heads';
import { Epilogue } from '../modules/epilogue';
import type { LmHead } from '../modules/epilogue';
import { WordEmbedding } from '../modules/word-embedding';
import type { Positions } from '../modules/word-embedding';
import { SpectrogramEmbedding } from './spectrogram';
import { layOutBlocks } from '../modules/lay-out-blocks';
import { readShapes } from '../modules/read-shapes';
import type { Sublayer } from '../modules/sublayer-list';
import { findDistanceBias } from '../parts/distance-bias';
import type { DistanceBias } from '../parts/distance-bias';
import type { FeedforwardShape } from '../modules/mlp';
import type { Linear } from '../parts/linear';
import type { Norm, NormStyle } from '../parts/norm';
import type { Architecture } from '../transformer/architecture';
import type { SummarizedLayout } from '../summarize';
import type { ModelConfig } from '../transformer/model-config';
import { describedEncodings, TensorFinder } from '../transformer/tensor-finder';
import type { Seq2SeqConfig, Seq2SeqFamily, TowerNames } from './seq2seq-family';
import { say } from '../../message';

/** An encoder or a decoder with its weights found. */
export interface Tower<Start = WordEmbedding | SpectrogramEmbedding> {
  readonly start: Start;
  readonly attention: AttentionShape;
  readonly feedforward: FeedforwardShape;
  readonly distanceBias: DistanceBias | undefined;
  readonly sublayers: readonly Sublayer[];
  readonly finalNorm: Norm | undefined;
}

/** An encoder–decoder model whose every tensor has been found in the checkpoint. */
export interface Seq2SeqLayout {
  readonly norm: NormStyle;
  /** Sizes of a spectrogram: channels, frames. */
  readonly spectrogram: readonly [channels: number, frames: number];
  readonly encoder: Tower;
  readonly decoder: Tower<WordEmbedding>;
  /** Without a head, the output is the decoder's last hidden states. */
  readonly epilogue: Epilogue;
  /** Prefix of the tensor names of each block. */
  readonly blockPlaces: readonly string[];
  /** Tensors in the first block of a tower that all of its blocks use. */
  readonly sharedByBlocks: readonly string[];
  readonly absent: readonly string[];
  readonly unused: readonly string[];
  readonly computed: readonly string[];
}

/** The embedding under its other names, and a bias of T5's first cross-attention that nothing uses. */
const isComputed = (name: string): boolean =>
  /(?:^|\.)(?:shared|(?:en|de)coder\.embed_tokens|(?:en|de)coder\.embed_positions|lm_head|proj_out)\.weight$/.test(
    name,
  ) || /\.(?:EncDecAttention\.relative_attention_bias|cross_attn_rel_b)\.weight$/.test(name);

/**
 * Finds every tensor that a model of `family` needs and checks its shape.
 * @throws UserError naming the tensor or config field at fault.
 */
export function layOutSeq2Seq(
  family: Seq2SeqFamily,
  config: Seq2SeqConfig,
  folder: ModelFolder,
  checkpoint: Checkpoint,
): Seq2SeqLayout {
  const hasHead = requireClass(family, config, folder);
  const { hidden_size: hidden, vocab_size: vocabulary } = config;
  const names = [...checkpoint.tensors.keys()];
  const prefix = names.some((name) => name.startsWith(family.prefix)) ? family.prefix : '';
  const { encoder, decoder } = family.towers(config);
  const blockPlaces = [
    ...blockPrefixes(`${prefix}${encoder.prefix}`, encoder, config.encoder_layers),
    ...blockPrefixes(`${prefix}${decoder.prefix}`, decoder, config.decoder_layers),
  ];
  const tensors = new TensorFinder(
    checkpoint,
    { norm: family.norm, transposed: false },
    describedEncodings(
      config.espalier?.compressed,
      (block) => blockPlaces[Number(block)] ?? block,
      folder.config,
    ),
  );
  const [first = ''] = family.words;
  const stored = family.words.find((name) => tensors.has(`${prefix}${name}.weight`)) ?? first;
  const own = family.ownWords?.(config);
  const words = tensors.embeddingAndHead(
    'embedding',
    `${prefix}${own?.source ?? stored}`,
    vocabulary,
    hidden,
  );
  const targetWords =
    own === undefined
      ? words
      : tensors.embeddingAndHead(
          'embedding',
          `${prefix}${own.target}`,
          config.decoder_vocab_size ?? vocabulary,
          hidden,
        );
  const scales = family.scales(config);
  const find = new TowerFinder({ family, config, folder, tensors, prefix, blockPlaces });
  const embed = (table: Linear, { norm, hiddenSize }: AttentionShape, parts: StartParts) =>
    new WordEmbedding({ table, scale: scales.embedding ?? 1, ...parts }, norm, hiddenSize);
  const convolutions = findConvolutions(family, config, tensors, prefix);
  const source = find.tower(encoder, 'encoder', 0, (shape, parts) =>
    convolutions === undefined
      ? embed(words, shape, parts)
      : new SpectrogramEmbedding(convolutions, parts.positions, parts.norms, shape.norm),
  );
  const target = find.tower(decoder, 'decoder', config.encoder_layers, (shape, parts) =>
    embed(targetWords, shape, parts),
  );
  const { norm } = source.attention;
  const head = hasHead
    ? {
        ...findHead(family, tensors, targetWords),
        inputScale: scales.head ?? 1,
        logitScale: 1,
      }
    : undefined;
  const layout = {
    norm,
    spectrogram: [config.num_mel_bins, 2 * (config.max_source_positions ?? 0)] as const,
    encoder: source,
    decoder: target,
    epilogue: new Epilogue(target.finalNorm, head, norm),
    blockPlaces,
    sharedByBlocks: [source, target].flatMap(({ distanceBias }) =>
      distanceBias === undefined ? [] : [distanceBias.table.name],
    ),
    absent: find.absent,
  };
  tensors.requireAllEncodings();
  const left = tensors.unused();
  return {
    ...layout,
    unused: left.filter((name) => !isComputed(name)),
    computed: left.filter(isComputed),
  };
}

/** Prefixes of the tensor names of a tower's blocks. */
function blockPrefixes(prefix: string, { blocks }: TowerNames, count: number): string[] {
  return Array.from({ length: count }, (_, number) => `${prefix}${blocks}.${number}.`);
}

/** Layout with the sublayers of encoder and decoder in one list, for code that treats all models alike. */
export function joinTowers({
  encoder,
  decoder,
}: Pick<Seq2SeqLayout, 'encoder' | 'decoder'>): SummarizedLayout {
  return { sublayers: [...encoder.sublayers, ...decoder.sublayers], keepsCache: true };
}

/**
 * True if config.json names the class with the head. @throws UserError for classes other than it
 * and the base model.
 */
function requireClass(
  { classes }: Seq2SeqFamily,
  { architectures }: Seq2SeqConfig,
  { config: file }: ModelFolder,
): boolean {
  const [given = classes.head] = architectures ?? [];
  const name = given.replace(prunedClassPrefix, '');
  if (name !== classes.head && name !== classes.model) {
    throw new UserError(
      'model-class-unsupported',
      say`${name} is not supported, only ${classes.head} and ${classes.model}.`,
      {
        file,
        field: 'architectures',
        remedy: say`Export the model to ONNX and open that.`,
      },
    );
  }
  return name === classes.head;
}

function findHead(
  { head: { name, bias } }: Seq2SeqFamily,
  tensors: TensorFinder,
  words: Linear,
): Pick<LmHead, 'id' | 'linear'> {
  const [rows = 0, width = 0] = words.weight.shape;
  const matrix = tensors.hasMatrix(name)
    ? tensors.embeddingAndHead('head', name, rows, width)
    : words;
  const added = bias === undefined ? undefined : tensors.takeIfPresent(bias, [1, rows]);
  return {
    id: `${name}.weight`,
    linear: { ...matrix, ...(added === undefined ? {} : { bias: { ...added, shape: [rows] } }) },
  };
}

function findConvolutions(
  { source }: Seq2SeqFamily,
  { num_mel_bins: channels, hidden_size: hidden }: Seq2SeqConfig,
  tensors: TensorFinder,
  prefix: string,
): Linear[] | undefined {
  return source === 'text'
    ? undefined
    : source.convolutions.map((name, i) => ({
        weight: tensors.take(`${prefix}encoder.${name}.weight`, [
          hidden,
          i === 0 ? channels : hidden,
          3,
        ]),
        bias: tensors.take(`${prefix}encoder.${name}.bias`, [hidden]),
      }));
}

interface Found {
  readonly family: Seq2SeqFamily;
  readonly config: Seq2SeqConfig;
  readonly folder: ModelFolder;
  readonly tensors: TensorFinder;
  readonly prefix: string;
  readonly blockPlaces: readonly string[];
}

/** Parts of the prologue of an encoder or decoder besides its table or convolutions. */
interface StartParts {
  readonly positions: Positions | undefined;
  readonly wordNorm: Norm | undefined;
  /** Norms of the embedding and of removed sublayers. */
  readonly norms: readonly Norm[];
}

/** Finds the weights of both towers; the decoder's block numbers continue the encoder's. */
class TowerFinder {
  public readonly absent: string[] = [];

  public constructor(private readonly found: Found) {}

  /** @param first number of its first block */
  public tower<Start>(
    names: TowerNames & { readonly crossAttention?: Architecture['attention'] },
    side: 'encoder' | 'decoder',
    first: number,
    makeStart: (shape: AttentionShape, parts: StartParts) => Start,
  ): Tower<Start> {
    const { family, config, folder, tensors } = this.found;
    const { norm } = family;
    const isDecoder = side === 'decoder';
    const { attention: scale } = family.scales(config);
    const { attention, feedforward } = readShapes(
      { attention: names.attention, feedforward: names.feedforward, norm, config: family.config },
      {
        ...config,
        num_attention_heads: config[`${side}_attention_heads`],
        num_key_value_heads: undefined,
      },
      folder,
      scale === undefined ? {} : { attention: scale },
    );
    const { hiddenSize: hidden } = attention;
    const prefix = `${this.found.prefix}${names.prefix}`;
    const { finalNorm, distanceBias, biasIsByBlock = false } = names;
    const normIfAny = (name: string | undefined): Norm | undefined =>
      name === undefined ? undefined : tensors.norm(`${prefix}${name}`, hidden);
    const wordNorm = normIfAny(names.wordNorm);
    const embeddingNorm = normIfAny(names.embeddingNorm);
    const norms: Norm[] = embeddingNorm === undefined ? [] : [embeddingNorm];
    const positions = this.positions(names, side, prefix);
    const parts =
      biasIsByBlock && distanceBias !== undefined
        ? { distanceBias: { table: distanceBias, causal: isDecoder } }
        : {};
    const { [`${side}_layers`]: blocks, [`${side}_ffn_dim`]: inner } = config;
    const { list } = layOutBlocks(
      {
        attention: { ...names.attention, parts },
        feedforward: names.feedforward,
        ...(names.crossAttention === undefined ? {} : { crossAttention: names.crossAttention }),
        biases: () => family.biases(config),
        rotary: 'none',
        slidingWindow: () => undefined,
      },
      {
        ...{ folder, tensors, attention, feedforward, patchModules: {}, startNorms: norms },
        // Blocks read no other fields.
        config: {
          ...config,
          num_hidden_layers: blocks,
          intermediate_size: inner,
        } as Partial<ModelConfig> as ModelConfig,
        firstBlock: first,
        placeOf: (block) => this.found.blockPlaces[block] ?? '',
      },
    );
    this.absent.push(...list.absent);
    return {
      start: makeStart(attention, { positions, wordNorm, norms }),
      attention,
      feedforward,
      distanceBias:
        distanceBias === undefined || biasIsByBlock
          ? undefined
          : findDistanceBias(
              tensors,
              {
                table: `${prefix}${names.blocks}.0.${distanceBias}`,
                buckets: config.relative_attention_num_buckets,
                farthest: config.relative_attention_max_distance,
                causal: isDecoder,
              },
              attention.numHeads,
            ),
      sublayers: list.sublayers,
      finalNorm: normIfAny(finalNorm),
    };
  }

  private positions(
    { positions }: TowerNames,
    side: 'encoder' | 'decoder',
    prefix: string,
  ): Positions | undefined {
    const { config, family, tensors } = this.found;
    if (positions === undefined) {
      return undefined;
    }
    const { name, offset, sines = false } = positions;
    const place = `${prefix}${name}.weight`;
    if (sines && !tensors.has(place)) {
      return { offset, divisor: (half) => half };
    }
    const isHeard = side === 'encoder' && family.source !== 'text';
    const most = isHeard ? config.max_source_positions : config.max_position_embeddings;
    return { weight: tensors.take(place, [(most ?? 0) + offset, config.hidden_size]), offset };
  }
}
