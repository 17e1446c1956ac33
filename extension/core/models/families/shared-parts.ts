import type {
  Biases,
  EmbeddingAndHeadNames,
  QueryGrowth,
  Scales,
  SharedExpertNames,
} from '../transformer/architecture';
import type { ConfigFields, ModelConfig } from '../transformer/model-config';
import { say } from '../../message';
import type { Message } from '../../message';
import { preNorm } from '../modules/wiring-names';

const embeddingAndHead: EmbeddingAndHeadNames = {
  prefixes: ['model.', ''],
  embedding: 'embed_tokens',
  finalNorm: 'norm',
  blocks: 'layers',
};

/** Documented limit of families whose blocks could have cross-attention. */
export const withoutEncoder = {
  limits: 'The folder holds no encoder for cross-attention.',
} as const;

/** Tensor names of Llama's attention. */
export const attention = {
  wiring: preNorm('input_layernorm'),
  queryKeyValue: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'],
  output: 'self_attn.o_proj',
} as const;

/** Tensor names of RMS norms of queries and keys, per head. */
export const queryKeyNorms = {
  query: 'self_attn.q_norm',
  key: 'self_attn.k_norm',
  over: 'head',
} as const;

/** Attention of Hunyuan V1, dense or MoE. */
export const hunyuanAttention = {
  ...attention,
  queryKeyNorms: {
    query: 'self_attn.query_layernorm',
    key: 'self_attn.key_layernorm',
    over: 'head',
    afterRotary: true,
  },
} as const;

/** Tensor names of Llama's MLP. */
export const feedforward = {
  wiring: preNorm('post_attention_layernorm'),
  gateUp: ['mlp.gate_proj', 'mlp.up_proj'],
  down: 'mlp.down_proj',
} as const;

/** Biases of all linear layers of a block. */
export const allBiases = (bias: boolean): Biases => ({
  queryKeyValue: bias,
  attentionOutput: bias,
  feedforward: bias,
});
export const noBiases = (): Biases => allBiases(false);
type BiasFields = Pick<ModelConfig, 'attention_bias' | 'mlp_bias'>;
/** Biases of the attention layers, if `attention_bias` is set. */
export const attentionBiases = ({ attention_bias: bias }: BiasFields): Biases => ({
  queryKeyValue: bias,
  attentionOutput: bias,
  feedforward: false,
});
export const queryKeyValueBiases = ({ attention_bias: bias }: ModelConfig): Biases => ({
  ...noBiases(),
  queryKeyValue: bias,
});
export const configuredBiases = (config: BiasFields): Biases => ({
  ...attentionBiases(config),
  feedforward: config.mlp_bias,
});

/** Sliding windows for blocks with that type in `layer_types`. */
export const windowedByType = (
  config: Pick<ModelConfig, 'layer_types' | 'sliding_window'>,
  block: number,
): number | undefined =>
  config.layer_types?.[block] === 'sliding_attention'
    ? (config.sliding_window ?? undefined)
    : undefined;

/** True for an MoE block, unless `mlp_layer_types` says otherwise. */
export const sparseByType = ({ mlp_layer_types: types }: ConfigFields, block: number): boolean =>
  !Array.isArray(types) || types[block] === 'sparse';

/** `mlp_layer_types` for models whose first `count` blocks have a dense MLP. */
export const denseFirst =
  (count: number) =>
  (_: ConfigFields, block: number): string =>
    block < count ? 'dense' : 'sparse';

/** Every block but each `pattern`-th is windowed. */
export function everyNthFull(pattern: number, block: number): string {
  return (block + 1) % pattern === 0 ? 'full_attention' : 'sliding_attention';
}

/** True (rotary embedding) unless `no_rope_layers` has a 0 for the block. */
export const rotatesByList = ({ no_rope_layers: turns }: ModelConfig, block: number): boolean =>
  turns?.[block] !== 0;

/** MLP without a gate. */
export const ungatedMlp = {
  ...feedforward,
  gateUp: ['mlp.up_proj'],
} as const;

/** Tensor names of an MLP whose gate and up projections are one matrix. */
export const fusedGateUpMlp = {
  ...feedforward,
  gateUp: { fused: 'mlp.gate_up_proj' },
} as const;

/** Names of query and key norms as some families spell them. */
export const queryKeyLayernorms = {
  query: 'self_attn.q_layernorm',
  key: 'self_attn.k_layernorm',
  over: 'head',
} as const;

/** Why a family has no modeling file. */
export const explainNoKnownClass = (modelType: string): Message =>
  say`No transformers class is known for ${modelType} models.`;

/** Slopes of ALiBi: powers of 2 with exponents evenly between 0 and −8 (arXiv 2108.12409). */
export function alibiSlopes(heads: number): number[] {
  const whole = 2 ** Math.floor(Math.log2(heads));
  const first = Array.from({ length: whole }, (_, i) => 2 ** ((-8 * (i + 1)) / whole));
  const others = Array.from({ length: heads - whole }, (_, i) => 2 ** ((-4 * (2 * i + 1)) / whole));
  return [...first, ...others];
}

/** Names of default fields in GPT-2 and related models. */
export const gptNames = {
  hidden_size: 'n_embd',
  num_hidden_layers: 'n_layer',
  num_attention_heads: 'n_head',
  intermediate_size: 'n_inner',
  hidden_act: 'activation_function',
  rms_norm_eps: 'layer_norm_epsilon',
} as const;

/** Default MLP size of four times the hidden size. */
export const fourTimesHidden = ({ hidden_size: hidden }: ConfigFields): number | undefined =>
  typeof hidden === 'number' ? 4 * hidden : undefined;

const nowhere = (): undefined => undefined;
/** Sliding window of all blocks. */
export const windowEverywhere = (config: ModelConfig): number | undefined =>
  config.sliding_window ?? undefined;

/** `layer_types` if present; in older configs, blocks from `max_window_layers` on have sliding windows. */
export function windowedLayers(config: ModelConfig, block: number): number | undefined {
  if (config.use_sliding_window !== true) {
    return undefined;
  }
  const windowed =
    config.layer_types?.[block] !== undefined
      ? config.layer_types[block] === 'sliding_attention'
      : block >= (config.max_window_layers ?? 28);
  return windowed ? (config.sliding_window ?? undefined) : undefined;
}

/** Families alike but for names and numbers; the others add to it. */
export const base = {
  embeddingAndHead,
  norm: 'rms',
  attention,
  feedforward,
  biases: noBiases,
  rotary: 'shared',
  slidingWindow: nowhere,
} as const;

/** Queries that grow with their position, as the fields of the rotary embedding say. */
export const queryGrowthFromRope = ({
  rope_parameters: rope,
}: ModelConfig): QueryGrowth | undefined =>
  typeof rope?.llama_4_scaling_beta === 'number'
    ? {
        scale: rope.llama_4_scaling_beta,
        period: rope.original_max_position_embeddings ?? 16_384,
        offset: 0,
      }
    : undefined;

/** Factors of Granite's configurations. */
export const graniteScales = (config: ModelConfig): Partial<Scales> => ({
  embedding: config.embedding_multiplier,
  residual: config.residual_multiplier,
  attention: config.attention_multiplier,
  logits: 1 / config.logits_scaling,
});

/** Tensor names of a shared expert with gate and up projections of width `inner`, below `module`. */
export const gatedSharedExpert = (module: string, inner: number): SharedExpertNames => ({
  gateUp: [`${module}.gate_proj`, `${module}.up_proj`],
  down: `${module}.down_proj`,
  inner,
});

/** Bound on queries, keys and values in the fields of OLMo and MPT. */
export const clipInConfig = ({ clip_qkv: bound }: ConfigFields): number | undefined =>
  typeof bound === 'number' ? bound : undefined;

/** Number in config.json that few families have, or the default of their configuration class. */
export function optionalNumber(config: ConfigFields, field: string, usual: number): number {
  const value = config[field];
  return typeof value === 'number' ? value : usual;
}
