import { say } from '../../message';
import type { ConfigFields } from '../transformer/config-layout';
import { dinoEncoders } from './dino-encoders';
import type { EncoderArchitecture } from './encoder-architecture';
import { allBiases, commonDefaults, epsilonName } from './text-encoders';
import {
  attentionLinears,
  classifies,
  classToken,
  feedforwardLinears,
  renumberedStages,
  vitAttention,
  vitFeedforward,
  vitLike,
  vitPatches,
} from './vit-like';
import type { Named } from './vit-like';

/** ViT-MSN (arXiv 2204.07141). */
const vitMsn: EncoderArchitecture = {
  ...vitLike({ modelType: 'vit_msn', family: 'ViTMSN' }, [classToken], 'first', 'vit.'),
  config: { names: epsilonName, defaults: () => ({ ...commonDefaults, rms_norm_eps: 1e-6 }) },
};

/** BEiT (arXiv 2106.08254) and what is named like it: keys without a bias, scaled branches. */
function beitLike(
  named: Named & { readonly prefix: string; readonly modules: EncoderArchitecture['modules'] },
): EncoderArchitecture {
  const like = vitLike(named, [classToken], 'mean', named.prefix);
  const { embedding, finalNorm: lastNorm = '', ...rest } = like;
  return {
    ...rest,
    config: {
      ...like.config,
      pruned: renumberedStages,
      only: () => ({ use_shared_relative_position_bias: false }),
    },
    embedding: { kind: 'image', patches: vitPatches, tokens: [classToken] },
    biases: () => ({ ...allBiases, key: false }),
    heads: [classifies(named.family, { reads: 'mean', norm: `${named.prefix}pooler.layernorm` })],
    form: (config) => ({
      ...(config['use_absolute_position_embeddings'] === true ? { embedding } : {}),
      ...(config['use_relative_position_bias'] === true
        ? { gridBias: 'attention.attention.relative_position_bias.relative_position_bias_table' }
        : {}),
      ...(config['layer_scale_init_value'] === 0
        ? {}
        : {
            attention: { ...vitAttention, layerScale: 'lambda_1' },
            feedforward: { ...vitFeedforward, layerScale: 'lambda_2' },
          }),
      ...(config['use_mean_pooling'] === false
        ? {
            finalNorm: lastNorm,
            heads: [classifies(named.family, { reads: 'first' })],
          }
        : {}),
    }),
    modules: named.modules,
  };
}

/** Blocks of both towers of CLIP and the like. */
const clipBlocks = {
  blocks: 'encoder.layers',
  attention: {
    norm: 'layer_norm1',
    queryKeyValue: {
      kind: 'separate',
      names: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'],
    },
    output: 'self_attn.out_proj',
  },
  feedforward: {
    norm: 'layer_norm2',
    gateUp: { kind: 'separate', names: ['mlp.fc1'] },
    down: 'mlp.fc2',
  },
  biases: () => allBiases,
} as const satisfies Partial<EncoderArchitecture>;

const clipStandIns = {
  attention: { layer_norm1: 'nn.Identity', self_attn: 'NoAttention' },
  feedforward: { layer_norm2: 'nn.Identity', mlp: 'NoFeedforward' },
} as const;

/** The tower for images of CLIP (arXiv 2103.00020) and the like; that for texts stays as it is. */
function clipVision(
  { modelType, family }: Named,
  form: Pick<EncoderArchitecture, 'finalNorm' | 'unread'> & {
    readonly defaults: ConfigFields;
    readonly embedding: Partial<Extract<EncoderArchitecture['embedding'], { kind: 'image' }>>;
  },
): EncoderArchitecture {
  const { defaults, embedding, ...rest } = form;
  return {
    ...rest,
    modelType,
    classes: { config: `${family}Config`, model: `${family}Model` },
    config: {
      nested: 'vision_config',
      names: epsilonName,
      defaults: () => ({
        hidden_size: 768,
        intermediate_size: 3072,
        num_hidden_layers: 12,
        num_attention_heads: 12,
        ...defaults,
      }),
    },
    prefix: 'vision_model.',
    embedding: {
      kind: 'image',
      patches: 'embeddings.patch_embedding',
      tokens: [],
      positions: 'embeddings.position_embedding.weight',
      isFlat: true,
      ...embedding,
    },
    ...clipBlocks,
    heads: [classifies(family, { reads: 'mean' })],
    modules: { prefix: '', layers: 'vision_model.encoder.layers', ...clipStandIns },
  };
}

/** What transformers gives of the text that a model reads; the projection is that to the space of both towers. */
const clipTexts = [
  { class: 'CLIPTextModel', gives: 'pooler_output', steps: [] },
  {
    class: 'CLIPTextModelWithProjection',
    gives: 'text_embeds',
    steps: [{ name: 'text_projection', out: 'stored', optionalBias: true }],
  },
] as const;

/** The tower for texts of CLIP, in a folder of its own or beside that for images. */
function clipText(
  own: Pick<EncoderArchitecture, 'modelType' | 'ofClasses' | 'otherModules'>,
  place: { readonly nested?: string } = {},
): EncoderArchitecture {
  return {
    ...own,
    classes: { config: 'CLIPTextConfig', model: 'CLIPTextModel' },
    config: {
      ...place,
      names: epsilonName,
      defaults: () => ({
        vocab_size: 49_408,
        hidden_size: 512,
        intermediate_size: 2048,
        num_hidden_layers: 12,
        num_attention_heads: 8,
        max_position_embeddings: 77,
        hidden_act: 'quick_gelu',
        rms_norm_eps: 1e-5,
        eos_token_id: 49_407,
      }),
    },
    prefix: 'text_model.',
    embedding: {
      kind: 'text',
      words: 'embeddings.token_embedding',
      positions: 'embeddings.position_embedding',
    },
    ...clipBlocks,
    causal: true,
    finalNorm: 'final_layer_norm',
    heads: clipTexts.map((form) => ({ auto: 'AutoModelForTextEncoding', reads: 'end', ...form })),
    modules: { prefix: 'text_model.', layers: 'encoder.layers', ...clipStandIns },
  };
}

const clipForm = {
  unread: ['post_layernorm.'],
  defaults: { hidden_act: 'quick_gelu', rms_norm_eps: 1e-5, patch_size: 32 },
  embedding: {
    patchBias: false,
    tokens: ['embeddings.class_embedding'],
    norm: 'pre_layrnorm',
  },
} as const;

/** ImageGPT (doi 10.5555/3524938.3525096): its pixels are ids of colours, and see those before them. */
const imageGpt: EncoderArchitecture = {
  modelType: 'imagegpt',
  classes: { config: 'ImageGPTConfig', model: 'ImageGPTModel' },
  config: {
    names: {
      hidden_size: 'n_embd',
      num_hidden_layers: 'n_layer',
      num_attention_heads: 'n_head',
      intermediate_size: 'n_inner',
      hidden_act: 'activation_function',
      rms_norm_eps: 'layer_norm_epsilon',
      max_position_embeddings: 'n_positions',
    },
    defaults: ({ n_embd: hidden = 512 }) => ({
      vocab_size: 513,
      hidden_size: 512,
      num_hidden_layers: 24,
      num_attention_heads: 8,
      intermediate_size: 4 * Number(hidden),
      hidden_act: 'quick_gelu',
      rms_norm_eps: 1e-5,
      max_position_embeddings: 1024,
    }),
    only: () => ({
      add_cross_attention: false,
      scale_attn_weights: true,
      scale_attn_by_inverse_layer_idx: false,
    }),
  },
  prefix: 'transformer.',
  embedding: { kind: 'text', words: 'wte', positions: 'wpe' },
  blocks: 'h',
  norm: 'rms',
  transposed: true,
  causal: true,
  attention: {
    norm: 'ln_1',
    queryKeyValue: { kind: 'fused', name: 'attn.c_attn' },
    output: 'attn.c_proj',
  },
  feedforward: {
    norm: 'ln_2',
    gateUp: { kind: 'separate', names: ['mlp.c_fc'] },
    down: 'mlp.c_proj',
  },
  biases: () => allBiases,
  finalNorm: 'ln_f',
  heads: [
    {
      class: 'ImageGPTForImageClassification',
      auto: 'AutoModelForImageClassification',
      reads: 'mean',
      steps: [{ name: 'score', out: 'stored', optionalBias: true }],
    },
  ],
  modules: {
    layers: 'h',
    attention: { ln_1: 'nn.Identity', attn: 'NoAttention' },
    feedforward: { ln_2: 'nn.Identity', mlp: 'NoFeedforward' },
  },
};

/** Encoders of images, and of the texts beside them. */
export const imageEncoders: readonly EncoderArchitecture[] = [
  vitLike({ modelType: 'vit', family: 'ViT' }, [classToken]),
  // arXiv 2012.12877
  vitLike({ modelType: 'deit', family: 'DeiT' }, [classToken, 'embeddings.distillation_token']),
  // arXiv 2301.08243
  vitLike({ modelType: 'ijepa', family: 'IJepa' }, [], 'mean'),
  vitMsn,
  beitLike({
    modelType: 'beit',
    family: 'Beit',
    prefix: 'beit.',
    modules: {
      layers: 'layers',
      attention: {
        layernorm_before: 'nn.Identity',
        lambda_1: 'Unscaled',
        relative_position_bias: 'None',
        attention: 'NoAttention',
      },
      feedforward: { layernorm_after: 'nn.Identity', lambda_2: 'Unscaled', mlp: 'NoFeedforward' },
      linears: { ...attentionLinears, ...feedforwardLinears },
    },
  }),
  // arXiv 2202.03555
  beitLike({
    modelType: 'data2vec-vision',
    family: 'Data2VecVision',
    prefix: 'data2vec_vision.',
    modules: {
      layers: 'encoder.layer',
      attention: {
        layernorm_before: 'nn.Identity',
        lambda_1: 'Unscaled',
        attention: 'NoAttention',
      },
      feedforward: {
        layernorm_after: 'nn.Identity',
        lambda_2: 'Unscaled',
        intermediate: 'nn.Identity',
        output: 'NoFeedforward',
      },
    },
  }),
  ...dinoEncoders,
  clipText({ modelType: 'clip_text_model' }),
  clipText(
    {
      modelType: 'clip',
      ofClasses: clipTexts.map((form) => form.class),
      otherModules: say`transformers makes the text tower of a clip model of its text_config alone, which holds no modelling file.`,
    },
    { nested: 'text_config' },
  ),
  clipVision({ modelType: 'clip', family: 'CLIP' }, clipForm),
  clipVision({ modelType: 'metaclip_2', family: 'MetaClip2' }, clipForm),
  // arXiv 2303.15343
  clipVision(
    { modelType: 'siglip', family: 'Siglip' },
    {
      finalNorm: 'post_layernorm',
      unread: ['head.'],
      defaults: { hidden_act: 'gelu_pytorch_tanh', rms_norm_eps: 1e-6 },
      embedding: {},
    },
  ),
  imageGpt,
];
