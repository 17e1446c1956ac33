import type { EncoderArchitecture } from '../encoder-architecture';
import { allBiases, textDefaults, textEmbedding } from '../text-encoders';
import { fromHub } from './from-hub';

/** Nomic Embed v2 (arXiv 2502.07972): mixtures of experts in every second block, as the hub has it. */
export const nomicMixtures: EncoderArchitecture = {
  ...fromHub('Nomic Embed v2'),
  modelType: 'nomic_bert',
  told: { moe_every_n_layers: 2 },
  classes: { config: 'NomicBertConfig', model: 'NomicBertModel' },
  config: {
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
    defaults: () => textDefaults,
    only: () => ({
      ...{ prenorm: false, causal: false, parallel_block: false, use_rms_norm: false },
      ...{ rotary_emb_fraction: 1, rotary_emb_interleaved: false, rotary_emb_scale_base: null },
      ...{
        rotary_scaling_factor: null,
        qkv_proj_bias: true,
        mlp_fc1_bias: true,
        mlp_fc2_bias: true,
      },
      ...{
        num_shared_experts: 0,
        expert_choice_router: false,
        moe_normalize_expert_weights: false,
      },
    }),
  },
  prefix: 'bert.',
  embedding: {
    kind: 'text',
    words: textEmbedding.words,
    types: textEmbedding.types,
    norm: 'emb_ln',
  },
  blocks: 'encoder.layers',
  attention: {
    queryKeyValue: { kind: 'fused', name: 'attn.Wqkv' },
    output: 'attn.out_proj',
    sumNorm: 'norm1',
  },
  feedforward: {
    gateUp: { kind: 'separate', names: ['mlp.fc1'] },
    down: 'mlp.fc2',
    sumNorm: 'norm2',
  },
  experts: {
    modules: ['mlp'],
    router: 'router.layer',
    gateUp: ['w1'],
    down: 'w2',
    joined: { gateUp: 'experts.mlp.w1', down: 'experts.mlp.w2', transposed: 'down', flat: true },
    sumBias: 'experts.bias',
    staysWhole: true,
    inner: ({ intermediate_size: inner }) => inner,
    routing: () => ({ normalized: false }),
    isSparse: (_, block) => block % 2 === 1,
  },
  biases: () => allBiases,
  rotary: 'shared',
  heads: [],
};
