import { audioDefaults } from './audio-embedding';
import type { AudioNames } from './audio-embedding';
import type { ConfigFields } from '../transformer/model-config';
import type { EncoderArchitecture, HeadForm } from './encoder-architecture';
import { allBiases, classifier, epsilonName } from './text-encoders';
import { classToken, vitLike, vitPatches, vitPositions } from './vit-like';
import type { Named } from './vit-like';
import { postNorm, preNorm } from '../modules/wiring-names';

const embedding = {
  kind: 'audio',
  convolutions: 'feature_extractor.conv_layers',
  projection: 'feature_projection.projection',
  projectionNorm: 'feature_projection.layer_norm',
  positions: 'encoder.pos_conv_embed',
  positionsAre: 'one',
} as const satisfies AudioNames;

const attention = {
  queryKeyValue: ['attention.q_proj', 'attention.k_proj', 'attention.v_proj'],
  output: 'attention.out_proj',
} as const;

const feedforward = {
  gateUp: ['feed_forward.intermediate_dense'],
  down: 'feed_forward.output_dense',
} as const;

/** Post-norm blocks, and a norm of the embedding. */
const wav2vecBlocks = {
  embedding: { ...embedding, norm: 'encoder.layer_norm' },
  attention: { ...attention, wiring: postNorm('layer_norm') },
  feedforward: { ...feedforward, wiring: postNorm('final_layer_norm') },
  modules: {
    layers: 'encoder.layers',
    attention: { attention: 'NoAttention' },
    feedforward: { feed_forward: 'NoFeedforward' },
  },
} as const;

/** Norms in front of each branch, and one at the end. */
const stable = {
  embedding,
  attention: { ...attention, wiring: preNorm('layer_norm') },
  feedforward: { ...feedforward, wiring: preNorm('final_layer_norm') },
  finalNorm: 'encoder.layer_norm',
  modules: {
    layers: 'encoder.layers',
    attention: { layer_norm: 'nn.Identity', attention: 'NoAttention' },
    feedforward: { final_layer_norm: 'nn.Identity', feed_forward: 'NoFeedforward' },
  },
} as const;

const audioHeads = (family: string): HeadForm[] => [
  {
    class: `${family}ForCTC`,
    auto: 'AutoModelForCTC',
    reads: 'all',
    steps: [{ name: 'lm_head', out: 'stored' }],
  },
  {
    class: `${family}ForSequenceClassification`,
    auto: 'AutoModelForAudioClassification',
    // Mean of the projections, which equals the projection of the mean.
    reads: 'mean',
    steps: [{ name: 'projector', out: 'stored' }, classifier],
  },
];

/** A head that weighs the states in front of all blocks. */
const weighsLayers = ({ architectures }: ConfigFields): boolean =>
  Array.isArray(architectures) && String(architectures[0]).endsWith('ForSequenceClassification');

/** wav2vec 2.0 (arXiv 2006.11477) and models with the same tensor names. */
function wav2vec2Like({ modelType, family }: Named): EncoderArchitecture {
  return {
    modelType,
    classes: { config: `${family}Config`, model: `${family}Model` },
    config: {
      names: epsilonName,
      defaults: () => ({
        ...audioDefaults,
        hidden_size: 768,
        num_hidden_layers: 12,
        num_attention_heads: 12,
        intermediate_size: 3072,
        hidden_act: 'gelu',
        rms_norm_eps: 1e-5,
      }),
      only: (config) => ({
        add_adapter: false,
        adapter_attn_dim: null,
        conv_pos_batch_norm: false,
        ...(weighsLayers(config) ? { use_weighted_layer_sum: false } : {}),
      }),
    },
    prefix: `${modelType.replaceAll('-', '_')}.`,
    blocks: 'encoder.layers',
    ...wav2vecBlocks,
    biases: () => allBiases,
    unread: ['masked_spec_embed'],
    form: (config) => (config['do_stable_layer_norm'] === true ? stable : {}),
    heads: audioHeads(family),
  };
}

const wavlm = wav2vec2Like({ modelType: 'wavlm', family: 'WavLM' });
const data2vec = wav2vec2Like({ modelType: 'data2vec-audio', family: 'Data2VecAudio' });
const ast = vitLike(
  { modelType: 'audio-spectrogram-transformer', family: 'AST' },
  [classToken, 'embeddings.distillation_token'],
  'mean-of-two',
  'audio_spectrogram_transformer.',
);

/** Encoders of sounds. */
export const audioEncoders: readonly EncoderArchitecture[] = [
  wav2vec2Like({ modelType: 'wav2vec2', family: 'Wav2Vec2' }),
  // arXiv 2106.07447
  wav2vec2Like({ modelType: 'hubert', family: 'Hubert' }),
  // arXiv 2101.07597
  wav2vec2Like({ modelType: 'unispeech', family: 'UniSpeech' }),
  // arXiv 2110.05752
  wav2vec2Like({ modelType: 'unispeech-sat', family: 'UniSpeechSat' }),
  {
    // arXiv 2110.13900
    ...wavlm,
    ...withGatedBias(wav2vecBlocks),
    distanceBias: {
      table: 'attention.rel_attn_embed',
      in: 'first-block',
      isGated: true,
      buckets: ({ num_buckets: count = 320 }) => Number(count),
      farthest: ({ max_bucket_distance: distance = 800 }) => Number(distance),
    },
    form: (config) =>
      config['do_stable_layer_norm'] === true ? { ...stable, ...withGatedBias(stable) } : {},
  },
  {
    // arXiv 2202.03555
    ...data2vec,
    config: {
      ...data2vec.config,
      defaults: (config) => ({
        ...data2vec.config.defaults?.(config),
        num_conv_pos_embeddings: 5,
        conv_pos_kernel_size: 19,
      }),
      computed: () => ({ feat_extract_norm: 'layer', do_stable_layer_norm: false }),
    },
    embedding: {
      ...wav2vecBlocks.embedding,
      positions: 'encoder.pos_conv_embed.layers',
      positionsAre: 'numbered',
    },
  },
  {
    // arXiv 2104.01778
    ...ast,
    config: {
      names: epsilonName,
      defaults: () => ({
        hidden_size: 768,
        num_hidden_layers: 12,
        num_attention_heads: 12,
        intermediate_size: 3072,
        hidden_act: 'gelu',
        rms_norm_eps: 1e-12,
        frequency_stride: 10,
        time_stride: 10,
      }),
      computed: ({ num_mel_bins: frequencies = 128, max_length: times = 1024 }) => ({
        num_channels: 1,
        image_size: [frequencies, times],
      }),
    },
    embedding: {
      kind: 'image',
      patches: vitPatches,
      tokens: [classToken, 'embeddings.distillation_token'],
      positions: vitPositions,
      isSpectrogram: true,
      strides: (config) => [Number(config['frequency_stride']), Number(config['time_stride'])],
    },
    heads: [
      {
        class: 'ASTForAudioClassification',
        auto: 'AutoModelForAudioClassification',
        reads: 'mean-of-two',
        norm: 'classifier.layernorm',
        steps: [{ name: 'classifier.dense', out: 'stored' }],
      },
    ],
  },
];

/** Encoders whose attention scales a relative position bias. */
function withGatedBias({
  attention: branch,
  modules,
}: Pick<EncoderArchitecture, 'attention' | 'modules'>): Pick<
  EncoderArchitecture,
  'attention' | 'modules'
> {
  const biasGate = {
    gate: 'attention.gru_rel_pos_linear',
    factor: 'attention.gru_rel_pos_const',
  } as const;
  return {
    attention: { ...branch, parts: { biasGate } },
    modules: { ...modules, attention: { ...modules.attention, attention: 'NoBiasedAttention' } },
  };
}
