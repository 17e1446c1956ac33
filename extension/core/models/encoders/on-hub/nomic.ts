import type { EncoderArchitecture } from '../encoder-architecture';
import { nomicBlocks } from '../rotary-encoders';
import { allBiases, textDefaults } from '../text-encoders';
import type { ConfigFields, ConfigLayout } from '../../transformer/config-layout';
import { fromHub } from './from-hub';

/** Fields as the hub's own code has them. */
const configWith = (
  activation: string,
  biases: boolean,
  only: ConfigFields = {},
): ConfigLayout => ({
  names: {
    hidden_size: 'n_embd',
    num_hidden_layers: 'n_layer',
    num_attention_heads: 'n_head',
    intermediate_size: 'n_inner',
    max_position_embeddings: 'n_positions',
    rms_norm_eps: 'layer_norm_epsilon',
    hidden_act: 'activation_function',
    rope_theta: 'rotary_emb_base',
    num_experts_per_tok: 'moe_top_k',
  },
  defaults: () => ({ ...textDefaults, hidden_act: activation }),
  meant: { hidden_act: { swiglu: 'silu' } },
  only: () => ({
    ...{ prenorm: false, causal: false, parallel_block: false, use_rms_norm: false },
    ...{ rotary_emb_fraction: 1, rotary_emb_interleaved: false, rotary_emb_scale_base: null },
    ...{ rotary_scaling_factor: null, qkv_proj_bias: biases },
    ...{ mlp_fc1_bias: biases, mlp_fc2_bias: biases },
    ...only,
  }),
});

const shape = {
  modelType: 'nomic_bert',
  classes: { config: 'NomicBertConfig', model: 'NomicBertModel' },
  prefix: 'bert.',
  ...nomicBlocks,
  heads: [],
} as const satisfies Partial<EncoderArchitecture>;

/** Nomic Embed (arXiv 2402.01613) as published; transformers has it under other fields. */
const gated: EncoderArchitecture = {
  ...fromHub('Nomic Embed'),
  ...shape,
  matchingFields: { activation_function: 'swiglu' },
  config: configWith('silu', false),
};

/** Nomic Embed v2 (arXiv 2502.07972): MoE layers in every second block. */
const mixtures: EncoderArchitecture = {
  ...fromHub('Nomic Embed v2'),
  ...shape,
  matchingFields: { moe_every_n_layers: 2 },
  config: configWith('gelu', true, {
    num_shared_experts: 0,
    expert_choice_router: false,
    moe_normalize_expert_weights: false,
  }),
  feedforward: { ...nomicBlocks.feedforward, gateUp: ['mlp.fc1'] },
  experts: {
    modules: ['mlp'],
    router: 'router.layer',
    gateUp: ['w1'],
    down: 'w2',
    joined: { gateUp: 'experts.mlp.w1', down: 'experts.mlp.w2', transposed: 'down', flat: true },
    parts: { sumBias: 'experts.bias' },
    inner: ({ intermediate_size: inner }) => inner,
    routing: () => ({ normalized: false }),
    isSparse: (_, block) => block % 2 === 1,
  },
  biases: () => allBiases,
};

export const nomicOnHub: readonly EncoderArchitecture[] = [mixtures, gated];
