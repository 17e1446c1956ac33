import type { ConfigFields } from '../transformer/model-config';
import type { EncoderArchitecture } from './encoder-architecture';
import { commonDefaults, epsilonName } from './text-encoders';
import {
  attentionLinears,
  classToken,
  renumberedStages,
  vitAttention,
  vitLike,
  vitPatches,
  vitPositions,
} from './vit-like';
import type { Named } from './vit-like';

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

/** Inner width: a gated feed-forward has two thirds of it, in multiples of 8. */
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
export const dinoEncoders: readonly EncoderArchitecture[] = [
  dinov2Like({ modelType: 'dinov2', family: 'Dinov2' }),
  dinov2Like(
    { modelType: 'dinov2_with_registers', family: 'Dinov2WithRegisters' },
    'embeddings.register_tokens',
  ),
  dinov3,
];
