import type { Architecture, OuterNames } from '../transformer/architecture';
import type { ConfigFields } from '../transformer/config-layout';
import { allBiases, attention, base } from './pieces';
import { postNorm, preNorm } from '../modules/wiring-names';

/** Names of BART (arXiv 1910.13461) and what came after it. */
const names = {
  hidden_size: 'd_model',
  num_hidden_layers: 'decoder_layers',
  num_attention_heads: 'decoder_attention_heads',
  intermediate_size: 'decoder_ffn_dim',
  hidden_act: 'activation_function',
} as const;

const withoutNorm: OuterNames = {
  prefixes: ['model.decoder.', 'decoder.'],
  embedding: 'embed_tokens',
  positions: { name: 'embed_positions', offset: 2 },
  blocks: 'layers',
};
const outer: OuterNames = { ...withoutNorm, embeddingNorm: 'layernorm_embedding' };

const branches = {
  attention: { queryKeyValue: attention.queryKeyValue, output: 'self_attn.out_proj' },
  feedforward: { gateUp: { kind: 'separate', names: ['fc1'] }, down: 'fc2' },
} as const;

const normedSums = {
  attention: { ...branches.attention, wiring: postNorm('self_attn_layer_norm') },
  feedforward: { ...branches.feedforward, wiring: postNorm('final_layer_norm') },
} as const;

const normedInputs = {
  attention: { ...branches.attention, wiring: preNorm('self_attn_layer_norm') },
  feedforward: { ...branches.feedforward, wiring: preNorm('final_layer_norm') },
} as const;

interface Half {
  readonly modelType: string;
  readonly family: string;
  readonly defaults?: ConfigFields;
  readonly only?: ConfigFields;
  readonly names?: Readonly<Record<string, string>>;
}

/** The decoder of a model whose encoder is not in the file: cross attention has nothing to read. */
function decoderHalf({ modelType, family, defaults, only, names: own }: Half): Architecture {
  return {
    ...base,
    modelType,
    classes: { config: `${family}Config`, model: `${family}ForCausalLM` },
    config: {
      names: { ...names, ...own },
      defaults: () => ({
        hidden_act: 'gelu',
        max_position_embeddings: 1024,
        tie_word_embeddings: true,
        scale_embedding: false,
        is_encoder_decoder: true,
        ...defaults,
      }),
      computed: () => ({ rms_norm_eps: 1e-5 }),
      only: () => ({ is_encoder_decoder: false, ...only }),
    },
    outer,
    norm: 'layer',
    ...normedSums,
    biases: () => allBiases(true),
    rotary: 'none',
    scales: ({ scale_embedding: isScaled, hidden_size: hidden }) => ({
      embedding: isScaled ? Math.sqrt(hidden) : 1,
    }),
  };
}

/** Decoders of encoder–decoder models, saved alone (`…ForCausalLM`). */
export const decoderHalves: readonly Architecture[] = [
  decoderHalf({ modelType: 'bart', family: 'Bart' }),
  decoderHalf({ modelType: 'mvp', family: 'Mvp' }),
  decoderHalf({ modelType: 'plbart', family: 'PLBart', defaults: { scale_embedding: true } }),
  decoderHalf({
    modelType: 'trocr',
    family: 'TrOCR',
    defaults: { is_encoder_decoder: false, max_position_embeddings: 512 },
    only: { use_learned_position_embeddings: true, layernorm_embedding: true },
  }),
  {
    ...decoderHalf({ modelType: 'blenderbot-small', family: 'BlenderbotSmall' }),
    outer: {
      ...outer,
      positions: { name: 'embed_positions', offset: 0 },
      normsWordsAlone: true,
    },
  },
  {
    ...decoderHalf({ modelType: 'marian', family: 'Marian' }),
    outer: { ...withoutNorm, positions: { name: 'embed_positions', offset: 0 } },
  },
  {
    ...decoderHalf({ modelType: 'mbart', family: 'MBart' }),
    ...normedInputs,
    outer: { ...outer, finalNorm: 'layer_norm' },
  },
  {
    ...decoderHalf({ modelType: 'blenderbot', family: 'Blenderbot' }),
    ...normedInputs,
    outer: {
      ...withoutNorm,
      positions: { name: 'embed_positions', offset: 0 },
      finalNorm: 'layer_norm',
    },
  },
  {
    ...decoderHalf({ modelType: 'pegasus', family: 'Pegasus' }),
    ...normedInputs,
    outer: {
      ...withoutNorm,
      positions: { name: 'embed_positions', offset: 0 },
      finalNorm: 'layer_norm',
    },
  },
  {
    ...decoderHalf({
      modelType: 'bigbird_pegasus',
      family: 'BigBirdPegasus',
      defaults: {
        hidden_act: 'gelu_new',
        max_position_embeddings: 4096,
        scale_embedding: true,
        use_bias: false,
      },
    }),
    ...normedInputs,
    outer: {
      ...withoutNorm,
      positions: { name: 'embed_positions', offset: 0 },
      finalNorm: 'layernorm_embedding',
    },
    biases: ({ use_bias: bias }) => ({ ...allBiases(bias), feedforward: true }),
  },
  {
    ...decoderHalf({
      modelType: 'whisper',
      family: 'Whisper',
      names: { max_position_embeddings: 'max_target_positions' },
      defaults: { max_position_embeddings: 448 },
    }),
    ...normedInputs,
    outer: {
      ...withoutNorm,
      positions: { name: 'embed_positions', offset: 0 },
      finalNorm: 'layer_norm',
      heads: ['proj_out'],
    },
    biases: () => ({ ...allBiases(true), key: false }),
  },
];
