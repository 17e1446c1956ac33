import { alibiSlopes, noBiases, explainNoKnownClass } from '../families/shared-parts';
import { postNorm, preNorm } from '../modules/wiring-names';
import type { ConfigFields, ConfigLayout } from '../transformer/model-config';
import type { EncoderArchitecture } from './encoder-architecture';
import { nomicBlocks } from './rotary-encoders';
import { allBiases, bertBlocks, epsilonName, textDefaults, textEmbedding } from './text-encoders';

/** Properties of families whose code is on the Hugging Face Hub, not in transformers. */
const fromHub = (
  name: string,
): Pick<EncoderArchitecture, 'isFromHub' | 'otherModules' | 'modules'> => ({
  isFromHub: true,
  otherModules: explainNoKnownClass(name),
  modules: { layers: '', attention: {}, feedforward: {} },
});

/** Jina's BERT of its embeddings v2 (arXiv 2310.19923): ALiBi to both sides, and gated MLPs. */
const jinaBert: EncoderArchitecture = {
  ...fromHub('JinaBERT'),
  modelType: 'bert',
  matchingFields: { position_embedding_type: 'alibi' },
  classes: { config: 'JinaBertConfig', model: 'JinaBertModel' },
  config: {
    names: epsilonName,
    defaults: () => textDefaults,
    // feed_forward_type overrides hidden_act.
    computed: () => ({ hidden_act: 'gelu' }),
    only: () => ({ feed_forward_type: 'geglu' }),
  },
  prefix: 'bert.',
  embedding: {
    kind: 'text',
    words: textEmbedding.words,
    types: textEmbedding.types,
    norm: textEmbedding.norm,
  },
  blocks: 'encoder.layer',
  attention: bertBlocks.attention,
  feedforward: {
    gateUp: { fused: 'mlp.gated_layers' },
    down: 'mlp.wo',
    wiring: postNorm('mlp.layernorm'),
  },
  biases: () => ({ ...bertBlocks.biases(), feedforward: false, feedforwardOutput: true }),
  slopes: ({ num_attention_heads: heads }) => alibiSlopes(heads),
  // Published folders name a class with a head, but contain no head.
  heads: [],
};

/** Size of the groups that MLP channels are removed in. */
const innerGroup = 8;

/** NeoBERT (arXiv 2502.19587). */
export const neoBert: EncoderArchitecture = {
  ...fromHub('NeoBERT'),
  modelType: 'neobert',
  classes: { config: 'NeoBERTConfig', model: 'NeoBERT' },
  config: {
    names: { rms_norm_eps: 'norm_eps', max_position_embeddings: 'max_length' },
    defaults: () => ({ rms_norm_eps: 1e-6, max_position_embeddings: 4096 }),
    computed: () => ({ hidden_act: 'silu', tie_word_embeddings: false }),
  },
  prefix: 'model.',
  embedding: { kind: 'text', words: 'encoder' },
  blocks: 'transformer_encoder',
  norm: 'rms',
  attention: {
    wiring: preNorm('attention_norm'),
    queryKeyValue: { fused: 'qkv', order: 'by-group' },
    output: 'wo',
  },
  feedforward: {
    wiring: preNorm('ffn_norm'),
    gateUp: { fused: 'ffn.w12' },
    down: 'ffn.w3',
  },
  // Three matrices of this width have as many weights as two of the width in config.json.
  innerSize: ({ intermediate_size: size }) =>
    innerGroup * Math.ceil(Math.trunc((2 * size) / 3) / innerGroup),
  biases: noBiases,
  rotary: 'shared',
  interleavedRotary: true,
  finalNorm: 'layer_norm',
  heads: [
    {
      class: 'NeoBERTLMHead',
      auto: 'AutoModelForMaskedLM',
      reads: 'all',
      steps: [{ name: 'decoder', out: 'vocabulary' }],
    },
  ],
};

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

/** Encoders that share `model_type` with other families. They are looked up before those. */
export const hubVariants: readonly EncoderArchitecture[] = [jinaBert, mixtures, gated];
