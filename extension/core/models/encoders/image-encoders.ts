import type { ConfigFields } from '../transformer/config-layout';
import type { EncoderArchitecture, HeadForm } from './encoder-architecture';
import { allBiases, classifier, commonDefaults, epsilonName } from './text-encoders';

/** What families of one shape differ in. */
interface Named {
  readonly modelType: string;
  /** What the names of its classes begin with. */
  readonly family: string;
}

const classifies = (family: string, form: Pick<HeadForm, 'reads' | 'norm'>): HeadForm => ({
  class: `${family}ForImageClassification`,
  auto: 'AutoModelForImageClassification',
  steps: [classifier],
  ...form,
});

const vitAttention = {
  norm: 'layernorm_before',
  queryKeyValue: {
    kind: 'separate',
    names: ['query', 'key', 'value'].map((name) => `attention.attention.${name}`),
  },
  output: 'attention.output.dense',
} as const satisfies EncoderArchitecture['attention'];

const vitFeedforward = {
  norm: 'layernorm_after',
  gateUp: { kind: 'separate', names: ['intermediate.dense'] },
  down: 'output.dense',
} as const satisfies EncoderArchitecture['feedforward'];

const vitPatches = 'embeddings.patch_embeddings.projection';
const vitPositions = 'embeddings.position_embeddings';
const classToken = 'embeddings.cls_token';

/** Modules of transformers by the names in files. */
const attentionLinears = {
  'attention.attention.query': 'attention.q_proj',
  'attention.attention.key': 'attention.k_proj',
  'attention.attention.value': 'attention.v_proj',
  'attention.output.dense': 'attention.o_proj',
};
const feedforwardLinears = { 'intermediate.dense': 'mlp.fc1', 'output.dense': 'mlp.fc2' };

/** ViT (arXiv 2010.11929) and what is named like it. */
function vitLike(
  { modelType, family }: Named,
  /** Names of the tokens in front of the patches. */
  tokens: readonly string[],
  reads: HeadForm['reads'] = 'first',
  prefix = `${modelType}.`,
): EncoderArchitecture {
  return {
    modelType,
    classes: { config: `${family}Config`, model: `${family}Model` },
    config: { names: epsilonName, defaults: () => commonDefaults },
    prefix,
    embedding: { kind: 'image', patches: vitPatches, tokens, positions: vitPositions },
    blocks: 'encoder.layer',
    attention: vitAttention,
    feedforward: vitFeedforward,
    biases: ({ qkv_bias: queryKeyValue }) => ({ ...allBiases, queryKeyValue }),
    finalNorm: 'layernorm',
    unread: ['embeddings.mask_token'],
    heads: [classifies(family, { reads })],
    modules: {
      layers: 'layers',
      attention: { layernorm_before: 'nn.Identity', attention: 'NoAttention' },
      feedforward: { layernorm_after: 'nn.Identity', mlp: 'NoFeedforward' },
      linears: { ...attentionLinears, ...feedforwardLinears },
    },
  };
}

/** ViT-MSN (arXiv 2204.07141). */
const vitMsn: EncoderArchitecture = {
  ...vitLike({ modelType: 'vit_msn', family: 'ViTMSN' }, [classToken], 'first', 'vit.'),
  config: { names: epsilonName, defaults: () => ({ ...commonDefaults, rms_norm_eps: 1e-6 }) },
};

/** Stages of a backbone, each behind a block, by the blocks that stay. */
function renumberedStages(config: ConfigFields, blocks: readonly number[]): ConfigFields {
  const nameOf = (stage: number): string => (stage === 0 ? 'stem' : `stage${stage}`);
  const stageIn = (stage: number): number => blocks.filter((block) => block < stage).length;
  const mapped = (value: unknown, map: (one: unknown) => unknown): unknown =>
    Array.isArray(value) ? [...new Set(value.map((one) => map(one)))] : value;
  return {
    out_indices: mapped(config['out_indices'], (one) =>
      typeof one === 'number' && one >= 0 ? stageIn(one) : one,
    ),
    out_features: mapped(config['out_features'], (one) =>
      nameOf(stageIn(Number(/^stage(\d+)$/.exec(String(one))?.[1] ?? 0))),
    ),
    stage_names: Array.isArray(config['stage_names'])
      ? [0, ...blocks.map((_, block) => block + 1)].map(nameOf)
      : undefined,
  };
}

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
    heads: [classifies(named.family, { reads: 'mean', norm: 'pooler.layernorm' })],
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

/** DINOv2 (arXiv 2304.07193). */
function dinov2Like(named: Named, registers?: string): EncoderArchitecture {
  const like = vitLike(named, [classToken], 'first-and-mean');
  return {
    ...like,
    config: {
      names: epsilonName,
      pruned: renumberedStages,
      defaults: () => ({
        ...commonDefaults,
        rms_norm_eps: 1e-6,
        patch_size: registers === undefined ? 14 : 16,
      }),
      computed: (config) => ({
        intermediate_size: dinov2Inner(config),
        ...(config['use_swiglu_ffn'] === true ? { hidden_act: 'silu' } : {}),
      }),
    },
    embedding: {
      kind: 'image',
      patches: vitPatches,
      tokens: [classToken],
      positions: vitPositions,
      ...(registers === undefined ? {} : { registers }),
    },
    attention: { ...vitAttention, norm: 'norm1', layerScale: 'layer_scale1.lambda1' },
    feedforward: {
      norm: 'norm2',
      gateUp: { kind: 'separate', names: ['mlp.fc1'] },
      down: 'mlp.fc2',
      layerScale: 'layer_scale2.lambda1',
    },
    form: (config) =>
      config['use_swiglu_ffn'] === true
        ? {
            feedforward: {
              norm: 'norm2',
              gateUp: { kind: 'fused', name: 'mlp.weights_in' },
              down: 'mlp.weights_out',
              layerScale: 'layer_scale2.lambda1',
            },
          }
        : {},
    modules: {
      layers: 'encoder.layer',
      attention: {
        norm1: 'nn.Identity',
        attention: 'NoAttention',
        layer_scale1: 'nn.Identity',
      },
      feedforward: { norm2: 'nn.Identity', mlp: 'NoFeedforward', layer_scale2: 'nn.Identity' },
      splits: ['mlp.weights_in'],
      linears: { ...attentionLinears, 'mlp.weights_out': 'mlp.down_proj' },
    },
  };
}

/** Inner width: a gated feed-forward has two thirds of it, in multiples of 8. */
function dinov2Inner({
  hidden_size: hidden,
  mlp_ratio: ratio = 4,
  use_swiglu_ffn: isGated,
}: ConfigFields): number {
  const inner = Math.trunc(Number(hidden) * Number(ratio));
  return isGated === true ? Math.trunc((Math.trunc((inner * 2) / 3) + 7) / 8) * 8 : inner;
}

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
    heads: [classifies(family, { reads: 'mean' })],
    modules: {
      prefix: '',
      layers: 'vision_model.encoder.layers',
      attention: { layer_norm1: 'nn.Identity', self_attn: 'NoAttention' },
      feedforward: { layer_norm2: 'nn.Identity', mlp: 'NoFeedforward' },
    },
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

/** Encoders of images. */
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
  dinov2Like({ modelType: 'dinov2', family: 'Dinov2' }),
  dinov2Like(
    { modelType: 'dinov2_with_registers', family: 'Dinov2WithRegisters' },
    'embeddings.register_tokens',
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
