import { allBiases } from '../families/shared-parts';
import type { Architecture, Biases } from '../transformer/architecture';
import type { ConfigFields } from '../transformer/model-config';
import { fullAttentionLength } from '../encoders/encoder-config';
import { countedBlocks } from './seq2seq-family';
import type { Seq2SeqConfig, Seq2SeqFamily, TowerNames } from './seq2seq-family';
import { postNorm, preNorm } from '../modules/wiring-names';

/** A family of BART's shape, which its decoder alone has too. */
export interface BartFamily extends Seq2SeqFamily {
  readonly towers: () => ReturnType<Seq2SeqFamily['towers']>;
  readonly biases: (config: Pick<Seq2SeqConfig, 'use_bias'>) => Biases;
  readonly scales: (config: {
    readonly hidden_size: number;
    readonly scale_embedding?: boolean | undefined;
  }) => { readonly embedding: number };
}

/** Differences of a family from BART. */
interface Form {
  readonly modelType: string;
  readonly family: string;
  /** Class of the model with a head, if its name doesn't follow the pattern. */
  readonly head?: string;
  /** True for pre-norm blocks with a final norm. */
  readonly normsFirst: boolean;
  readonly tower: Common;
  readonly encoder?: Pick<TowerNames, 'embeddingNorm'>;
  readonly decoder?: Pick<TowerNames, 'wordNorm'>;
  readonly ownWords?: Seq2SeqFamily['ownWords'];
  readonly defaults?: ConfigFields;
  readonly only?: ConfigFields;
}

function attention(module: string, normsFirst: boolean): Architecture['attention'] {
  const norm = `${module}_layer_norm`;
  return {
    wiring: normsFirst ? preNorm(norm) : postNorm(norm),
    queryKeyValue: ['q_proj', 'k_proj', 'v_proj'].map((name) => `${module}.${name}`),
    output: `${module}.out_proj`,
  };
}

/** Names shared by encoder and decoder. */
type Common = Pick<TowerNames, 'positions' | 'embeddingNorm' | 'finalNorm'>;

/** Encoder and decoder, with their parts as BART names them. */
function bartTowers(
  normsFirst: boolean,
  common: Common,
  own: Pick<Form, 'encoder' | 'decoder'>,
): ReturnType<Seq2SeqFamily['towers']> {
  const norm = 'final_layer_norm';
  const without = (name: string): Record<string, 'nn.Identity'> =>
    normsFirst ? { [name]: 'nn.Identity' } : {};
  const modules: TowerNames['modules'] = {
    attention: { ...without('self_attn_layer_norm'), self_attn: 'NoAttention' },
    feedforward: { ...without(norm), fc1: 'nn.Identity', fc2: 'NoFeedforward' },
  };
  const names = {
    ...common,
    blocks: 'layers',
    attention: attention('self_attn', normsFirst),
    feedforward: {
      wiring: normsFirst ? preNorm(norm) : postNorm(norm),
      gateUp: ['fc1'],
      down: 'fc2',
    },
    modules,
  };
  return {
    encoder: { prefix: 'encoder.', ...names, ...own.encoder },
    decoder: {
      prefix: 'decoder.',
      ...names,
      ...own.decoder,
      crossAttention: attention('encoder_attn', normsFirst),
      modules: {
        ...modules,
        'cross-attention': { ...without('encoder_attn_layer_norm'), encoder_attn: 'NoAttention' },
      },
    },
  };
}

/** BART (arXiv 1910.13461) and models derived from it. */
function bartLike(form: Form): BartFamily {
  const { modelType, family, head = `${family}ForConditionalGeneration`, normsFirst } = form;
  const common = { ...(normsFirst ? { finalNorm: 'layer_norm' } : {}), ...form.tower };
  const towers = bartTowers(normsFirst, common, form);
  return {
    modelType,
    classes: { config: `${family}Config`, model: `${family}Model`, head },
    auto: 'AutoModelForSeq2SeqLM',
    config: {
      names: { hidden_size: 'd_model', hidden_act: 'activation_function' },
      defaults: () => ({
        hidden_act: 'gelu',
        max_position_embeddings: 1024,
        is_encoder_decoder: true,
        pad_token_id: 1,
        decoder_start_token_id: 2,
        ...form.defaults,
      }),
      computed: () => ({ rms_norm_eps: 1e-5 }),
      only: () => ({ is_encoder_decoder: true, ...form.only }),
      ...countedBlocks({ encoder: 'encoder_layers', decoder: 'decoder_layers' }),
    },
    prefix: 'model.',
    norm: 'layer',
    biases: ({ use_bias: hasBias }) => ({ ...allBiases(hasBias), feedforward: true }),
    words: ['shared', 'encoder.embed_tokens', 'decoder.embed_tokens'],
    ...(form.ownWords === undefined ? {} : { ownWords: form.ownWords }),
    head: { name: 'lm_head', bias: 'final_logits_bias' },
    towers: () => towers,
    source: 'text',
    scales: ({ scale_embedding: isScaled, hidden_size: hidden }) => ({
      embedding: isScaled ? Math.sqrt(hidden) : 1,
    }),
  };
}

const fromTwo = {
  positions: { name: 'embed_positions', offset: 2 },
  embeddingNorm: 'layernorm_embedding',
} as const;
const fromZero = { positions: { name: 'embed_positions', offset: 0 } } as const;
const sines = { positions: { name: 'embed_positions', offset: 0, sines: true } } as const;

/** Families of BART's shape. */
export const bartLikes: readonly BartFamily[] = [
  bartLike({ modelType: 'bart', family: 'Bart', normsFirst: false, tower: fromTwo }),
  bartLike({
    modelType: 'plbart',
    family: 'PLBart',
    normsFirst: false,
    tower: fromTwo,
    defaults: { scale_embedding: true },
  }),
  bartLike({
    modelType: 'mvp',
    family: 'Mvp',
    normsFirst: false,
    tower: fromTwo,
    only: { use_prompt: false },
  }),
  bartLike({
    modelType: 'blenderbot-small',
    family: 'BlenderbotSmall',
    normsFirst: false,
    tower: fromZero,
    encoder: { embeddingNorm: 'layernorm_embedding' },
    decoder: { wordNorm: 'layernorm_embedding' },
    defaults: { max_position_embeddings: 512, pad_token_id: 0, decoder_start_token_id: 1 },
  }),
  // arXiv 1804.00344
  bartLike({
    modelType: 'marian',
    family: 'Marian',
    head: 'MarianMTModel',
    normsFirst: false,
    tower: sines,
    defaults: { pad_token_id: 58100, decoder_start_token_id: 58100 },
    ownWords: ({ share_encoder_decoder_embeddings: isShared }) =>
      isShared ? undefined : { source: 'encoder.embed_tokens', target: 'decoder.embed_tokens' },
  }),
  // arXiv 2001.08210
  bartLike({ modelType: 'mbart', family: 'MBart', normsFirst: true, tower: fromTwo }),
  // arXiv 2004.13637
  bartLike({
    modelType: 'blenderbot',
    family: 'Blenderbot',
    normsFirst: true,
    tower: fromZero,
    defaults: { max_position_embeddings: 128, decoder_start_token_id: 1 },
  }),
  // arXiv 1912.08777
  bartLike({
    modelType: 'pegasus',
    family: 'Pegasus',
    normsFirst: true,
    tower: sines,
    defaults: { pad_token_id: 0, decoder_start_token_id: 0 },
  }),
  bigBird(),
  whisper(),
];

/** arXiv 2007.14062: attentions of the encoder are named otherwise, and sparse in long texts. */
function bigBird(): BartFamily {
  const family = bartLike({
    modelType: 'bigbird_pegasus',
    family: 'BigBirdPegasus',
    normsFirst: true,
    tower: { ...fromZero, finalNorm: 'layernorm_embedding' },
    defaults: {
      hidden_act: 'gelu_new',
      max_position_embeddings: 4096,
      scale_embedding: true,
      use_bias: false,
      pad_token_id: 0,
    },
  });
  const { encoder, decoder } = family.towers();
  return {
    ...family,
    maxPositions: fullAttentionLength,
    towers: () => {
      const sparse: TowerNames = {
        ...encoder,
        attention: {
          wiring: preNorm('self_attn_layer_norm'),
          queryKeyValue: ['query', 'key', 'value'].map((name) => `self_attn.self.${name}`),
          output: 'self_attn.output',
        },
        modules: {
          ...encoder.modules,
          attention: { ...encoder.modules.attention, self_attn: 'NoSparseAttention' },
        },
      };
      return { encoder: sparse, decoder };
    },
  };
}

/** arXiv 2212.04356: the encoder reads a log-mel spectrogram through two convolutions. */
function whisper(): BartFamily {
  const family = bartLike({
    modelType: 'whisper',
    family: 'Whisper',
    normsFirst: true,
    tower: fromZero,
    defaults: {
      max_position_embeddings: 448,
      max_source_positions: 1500,
      pad_token_id: 50256,
      decoder_start_token_id: 50257,
    },
  });
  const { names } = family.config;
  return {
    ...family,
    auto: 'AutoModelForSpeechSeq2Seq',
    config: {
      ...family.config,
      names: { ...names, max_position_embeddings: 'max_target_positions' },
    },
    biases: () => ({ ...allBiases(true), key: false }),
    words: ['decoder.embed_tokens'],
    head: { name: 'proj_out' },
    source: { convolutions: ['conv1', 'conv2'] },
  };
}
