import { derive } from '../transformer/derive';
import type { Architecture, OwnHeads } from '../transformer/architecture';
import type { ConfigFields, ModelConfig } from '../transformer/model-config';
import {
  attentionBiases,
  base,
  everyNthFull,
  gatedSharedExpert,
  optionalNumber,
  queryKeyNorms,
  windowedByType,
} from './shared-parts';
import { gemmaDefaults, gemmaSandwich } from './gemma';

/** Query, key and value norms of Gemma 3n and 4. */
export const normedAttention = {
  ...gemmaSandwich.attention,
  queryKeyNorms,
  parts: { normedValues: {} },
} as const;

/**
 * Full-attention blocks may have wider heads and fewer key/value heads. Newer files list this in
 * `per_layer_config`.
 */
function blockHeads(config: ModelConfig, block: number): Partial<OwnHeads> {
  const { per_layer_config: byBlock, layer_types: types } = config;
  const own = (byBlock as Record<string, ConfigFields> | null | undefined)?.[String(block)];
  const isFull = types?.[block] === 'full_attention';
  const fields = own ?? (isFull && byBlock === undefined ? globalHeads(config) : {});
  const headDim = optionalNumber(fields, 'head_dim', config.head_dim ?? 256);
  return {
    headDim,
    valueDim: headDim,
    numKeyValueHeads: optionalNumber(
      fields,
      'num_key_value_heads',
      config.num_key_value_heads ?? 4,
    ),
  };
}

const globalHeads = (config: ConfigFields): ConfigFields => ({
  head_dim: config['global_head_dim'] ?? 512,
  ...(config['attention_k_eq_v'] === true
    ? { num_key_value_heads: config['num_global_key_value_heads'] }
    : {}),
});

/** The last blocks read keys and values of the last block of their type in front of them. */
export function sharedKeysBlock(config: ModelConfig, block: number): number | undefined {
  const types = config.layer_types ?? [];
  const first = config.num_hidden_layers - optionalNumber(config, 'num_kv_shared_layers', 0);
  return block < first ? undefined : types.slice(0, first).lastIndexOf(types[block] ?? '');
}

/** True if each kind of block that shares keys has an earlier block that computes them. */
export function hasLenders({
  layer_types: types,
  num_kv_shared_layers: shared = 0,
}: ConfigFields): boolean {
  const all: unknown[] = Array.isArray(types) ? types : [];
  const first = all.length - Number(shared);
  return all.slice(first).every((kind) => all.slice(0, first).includes(kind));
}

/** Norms of queries and keys scale instead. */
export const unscaledAttention: NonNullable<Architecture['scales']> = (config) => ({
  embedding: Math.sqrt(config.hidden_size),
  attention: 1,
  logitSoftCap: config.final_logit_softcapping ?? undefined,
});

/** Per-layer embeddings of Gemma 3n and 4. */
export const perLayer = {
  table: 'embed_tokens_per_layer',
  projection: 'per_layer_model_projection',
  norm: 'per_layer_projection_norm',
  width: (config: ConfigFields) =>
    optionalNumber(config, 'hidden_size_per_layer_input', 256) || undefined,
} as const;
/** Tensor names of a block's per-layer embedding. */
export const perLayerEnd = {
  gate: 'per_layer_input_gate',
  projection: 'per_layer_projection',
  norm: 'post_per_layer_input_norm',
} as const;

/** The text tower of Gemma 4. */
export const gemma4: Architecture = {
  ...base,
  ...gemmaSandwich,
  modelType: 'gemma4_text',
  classes: { config: 'Gemma4TextConfig', model: 'Gemma4ForCausalLM' },
  readsEmbedding: true,
  config: {
    names: { hidden_act: 'hidden_activation', num_experts_per_tok: 'top_k_experts' },
    lists: {
      layer_types: ({ num_hidden_layers: blocks }: ConfigFields, block) =>
        block + 1 === blocks ? 'full_attention' : everyNthFull(6, block),
    },
    defaults: () => ({
      ...gemmaDefaults,
      max_position_embeddings: 131_072,
      num_key_value_heads: 4,
      sliding_window: 512,
      rope_parameters: {
        sliding_attention: { rope_type: 'default', rope_theta: 10_000 },
        full_attention: {
          rope_type: 'proportional',
          partial_rotary_factor: 0.25,
          rope_theta: 1_000_000,
        },
      },
    }),
    only: (config) => ({
      ...(config['enable_moe_block'] === true ? { use_double_wide_mlp: false } : {}),
      ...(config['use_bidirectional_attention'] === 'all'
        ? { use_bidirectional_attention: 'vision' }
        : {}),
      ...(hasLenders(config) ? {} : { num_kv_shared_layers: 0 }),
    }),
  },
  embeddingAndHead: {
    ...base.embeddingAndHead,
    perLayer,
  },
  attention: normedAttention,
  blockForm: (config, block) =>
    config['attention_k_eq_v'] === true && config.layer_types?.[block] === 'full_attention'
      ? {
          attention: {
            ...normedAttention,
            queryKeyValue: ['self_attn.q_proj', 'self_attn.k_proj'],
          },
        }
      : {},
  end: {
    perLayer: perLayerEnd,
    factor: 'layer_scalar',
  },
  experts: {
    modules: [''],
    router: 'router.proj',
    gateUp: ['gate_proj', 'up_proj'],
    down: 'down_proj',
    inner: ({ moe_intermediate_size: inner }) => inner,
    shared: ({ intermediate_size: inner }) => gatedSharedExpert('mlp', inner),
    isSparse: (config) => config['enable_moe_block'] === true,
    parts: {
      shareFactors: 'router.per_expert_scale',
      ownNorms: {
        norm: 'pre_feedforward_layernorm_2',
        routerScale: 'router.scale',
        postNorm: 'post_feedforward_layernorm_2',
        sharedPostNorm: 'post_feedforward_layernorm_1',
        modules: ['router', 'experts'],
        flag: 'enable_moe_block',
      },
    },
  },
  heads: blockHeads,
  sharedKeysBlock,
  innerSize: (config, block) =>
    config['use_double_wide_mlp'] === true && sharedKeysBlock(config, block) !== undefined
      ? 2 * config.intermediate_size
      : config.intermediate_size,
  biases: attentionBiases,
  rotary: 'by-layer-type',
  slidingWindow: windowedByType,
  scales: unscaledAttention,
};

const { experts: _, ...dense } = gemma4;

/** The text tower of Gemma 4 models that read images without a tower of their own. */
export const gemma4Unified = derive(
  dense,
  {
    modelType: 'gemma4_unified_text',
    classes: { config: 'Gemma4UnifiedTextConfig', model: 'Gemma4UnifiedForCausalLM' },
  },
  {
    defaults: { max_position_embeddings: 262_144, sliding_window: 1024 },
    computed: () => ({ hidden_size_per_layer_input: 0 }),
    only: (fields) => ({ ...dense.config?.only?.(fields), enable_moe_block: false }),
    readsEmbedding: false,
    embeddingAndHead: base.embeddingAndHead,
    end: { factor: 'layer_scalar' },
  },
);
