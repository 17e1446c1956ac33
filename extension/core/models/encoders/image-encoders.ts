import type { EncoderArchitecture } from './encoder-architecture';
import { allBiases, commonDefaults, epsilonName } from './text-encoders';
import { clipTowers } from './towers/clip-towers';
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
  vitPositions,
} from './vit-like';
import type { Named } from './vit-like';
import { preNorm } from '../modules/wiring-names';
import type { WiringNames } from '../modules/wiring-names';
import type { ConfigFields } from '../transformer/model-config';
import { gptNames } from '../families/shared-parts';

const dinoModules = {
  attention: { norm1: 'nn.Identity', attention: 'NoAttention', layer_scale1: 'nn.Identity' },
  feedforward: { norm2: 'nn.Identity', mlp: 'NoFeedforward', layer_scale2: 'nn.Identity' },
} as const satisfies Partial<EncoderArchitecture['modules']>;

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
    attention: { ...vitAttention, wiring: { norm: 'norm1', layerScale: 'layer_scale1.lambda1' } },
    feedforward: {
      wiring: { norm: 'norm2', layerScale: 'layer_scale2.lambda1' },
      gateUp: ['mlp.fc1'],
      down: 'mlp.fc2',
    },
    form: (config) =>
      config['use_swiglu_ffn'] === true
        ? {
            feedforward: {
              wiring: { norm: 'norm2', layerScale: 'layer_scale2.lambda1' },
              gateUp: { fused: 'mlp.weights_in' },
              down: 'mlp.weights_out',
            },
          }
        : {},
    modules: {
      layers: 'encoder.layer',
      ...dinoModules,
      splits: ['mlp.weights_in'],
      linears: { ...attentionLinears, 'mlp.weights_out': 'mlp.down_proj' },
    },
  };
}

/** Inner width: a gated MLP has two thirds of it, in multiples of 8. */
function dinov2Inner({
  hidden_size: hidden,
  mlp_ratio: ratio = 4,
  use_swiglu_ffn: isGated,
}: ConfigFields): number {
  const inner = Math.trunc(Number(hidden) * Number(ratio));
  return isGated === true ? Math.trunc((Math.trunc((inner * 2) / 3) + 7) / 8) * 8 : inner;
}

/** DINOv3 (arXiv 2508.10104): no positions, but turns of queries and keys; published without a head. */
const dinov3: EncoderArchitecture = {
  modelType: 'dinov3_vit',
  classes: { config: 'DINOv3ViTConfig', model: 'DINOv3ViTModel' },
  config: {
    names: epsilonName,
    pruned: renumberedStages,
    defaults: () => ({
      hidden_size: 384,
      intermediate_size: 1536,
      num_hidden_layers: 12,
      num_attention_heads: 6,
      hidden_act: 'gelu',
      rms_norm_eps: 1e-5,
      num_register_tokens: 0,
      mlp_bias: true,
    }),
  },
  prefix: '',
  embedding: {
    kind: 'image',
    patches: 'embeddings.patch_embeddings',
    tokens: [classToken],
    registers: 'embeddings.register_tokens',
  },
  blocks: 'layer',
  attention: {
    wiring: { norm: 'norm1', layerScale: 'layer_scale1.lambda1' },
    queryKeyValue: ['attention.q_proj', 'attention.k_proj', 'attention.v_proj'],
    output: 'attention.o_proj',
  },
  feedforward: {
    wiring: { norm: 'norm2', layerScale: 'layer_scale2.lambda1' },
    gateUp: ['mlp.up_proj'],
    down: 'mlp.down_proj',
  },
  biases: (config) => ({
    queryKeyValue: config['query_bias'] !== false,
    key: config['key_bias'] === true,
    attentionOutput: config['proj_bias'] !== false,
    feedforward: config.mlp_bias,
  }),
  gridRotary: true,
  finalNorm: 'norm',
  unread: ['embeddings.mask_token', 'embeddings.register_tokens'],
  form: (config) =>
    config['use_gated_mlp'] === true
      ? {
          feedforward: {
            wiring: { norm: 'norm2', layerScale: 'layer_scale2.lambda1' },
            gateUp: ['mlp.gate_proj', 'mlp.up_proj'],
            down: 'mlp.down_proj',
          },
        }
      : {},
  heads: [],
  modules: {
    layers: 'model.layer',
    ...dinoModules,
  },
};

/** The encoders of DINO. */
const dinoEncoders: readonly EncoderArchitecture[] = [
  dinov2Like({ modelType: 'dinov2', family: 'Dinov2' }),
  dinov2Like(
    { modelType: 'dinov2_with_registers', family: 'Dinov2WithRegisters' },
    'embeddings.register_tokens',
  ),
  dinov3,
];

/** ViT-MSN (arXiv 2204.07141). */
const vitMsn: EncoderArchitecture = {
  ...vitLike({ modelType: 'vit_msn', family: 'ViTMSN' }, [classToken], 'first', 'vit.'),
  config: { names: epsilonName, defaults: () => ({ ...commonDefaults, rms_norm_eps: 1e-6 }) },
};

/** BEiT (arXiv 2106.08254) and models with the same tensor names: keys without a bias, scaled branches. */
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
      ...beitBranches(config),
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

/** Branches of BEiT: scaled, and attention with biases by distance, unless config.json says otherwise. */
function beitBranches(
  config: ConfigFields,
): Pick<EncoderArchitecture, 'attention' | 'feedforward'> {
  const isScaled = config['layer_scale_init_value'] !== 0;
  const wiring = ({ norm }: { readonly norm: string }, layerScale: string): WiringNames =>
    isScaled ? { norm, layerScale } : { norm };
  const table = 'attention.attention.relative_position_bias.relative_position_bias_table';
  return {
    attention: {
      ...vitAttention,
      wiring: wiring(vitAttention.wiring, 'lambda_1'),
      parts: config['use_relative_position_bias'] === true ? { gridBias: { table } } : {},
    },
    feedforward: { ...vitFeedforward, wiring: wiring(vitFeedforward.wiring, 'lambda_2') },
  };
}

/** ImageGPT (doi 10.5555/3524938.3525096): its pixels are ids of colors, and see those before them. */
const imageGpt: EncoderArchitecture = {
  modelType: 'imagegpt',
  classes: { config: 'ImageGPTConfig', model: 'ImageGPTModel' },
  config: {
    names: {
      ...gptNames,
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
    wiring: preNorm('ln_1'),
    queryKeyValue: { fused: 'attn.c_attn' },
    output: 'attn.c_proj',
  },
  feedforward: {
    wiring: preNorm('ln_2'),
    gateUp: ['mlp.c_fc'],
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

/** Image encoders, and the text encoders published with them. */
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
  ...clipTowers,
  imageGpt,
];
