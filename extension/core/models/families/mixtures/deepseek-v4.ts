import type { CompressedNames } from '../../parts/compressed/compressed-parts';
import type { Architecture } from '../../transformer/architecture';
import type { ConfigFault, ConfigFields } from '../../transformer/model-config';
import { say } from '../../../message';
import { base, windowEverywhere, gatedSharedExpert, optionalNumber } from '../shared-parts';
import { preNorm } from '../../modules/wiring-names';

/** Kinds of attention, and how many tokens a run has that is compressed into one key. */
const near = 'sliding_attention';
export const sparseLayerType = 'compressed_sparse_attention';
/** MoE layers that choose experts from a table indexed by token. */
const byTable = 'hash_moe';
export const defaultCompressionRates: Readonly<Record<string, number>> = {
  [sparseLayerType]: 4,
  heavily_compressed_attention: 128,
};

/** Fields that older configurations have for the rates. */
const rateFields: Readonly<Record<string, string>> = {
  [sparseLayerType]: 'compress_rate_csa',
  heavily_compressed_attention: 'compress_rate_hca',
};

const isRecord = (value: unknown): value is ConfigFields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Defaults of the configuration class. */
const sizes = {
  ...{ o_groups: 8, o_lora_rank: 1024, n_shared_experts: 1 },
  ...{ index_n_heads: 64, index_head_dim: 128, index_topk: 512 },
  ...{ hc_mult: 4, hc_sinkhorn_iters: 20, hc_eps: 1e-6 },
} as const;

const sizeIn = (config: ConfigFields, field: keyof typeof sizes): number =>
  optionalNumber(config, field, sizes[field]);

/** Entry of `layer_types` for a compression rate; undefined for unsupported rates. */
export const rateType = (rate: unknown): string | undefined =>
  rate === 0
    ? near
    : Object.keys(defaultCompressionRates).find((type) => defaultCompressionRates[type] === rate);

/** Entry of `layer_types` by the rate that older configurations list, or by the block's number. */
function layerType({ compress_ratios: ratios }: ConfigFields, block: number): string {
  if (Array.isArray(ratios)) {
    return rateType(ratios[block]) ?? near;
  }
  return block < 2 || block % 2 === 0 ? 'heavily_compressed_attention' : sparseLayerType;
}

/** Reports a rate that matches no attention kind, in configs that select kinds by rate. */
function unknownRatio(config: ConfigFields): ConfigFault | undefined {
  const { compress_ratios: ratios, layer_types: types } = config;
  if (!Array.isArray(ratios) || Array.isArray(types)) {
    return undefined;
  }
  const known: readonly unknown[] = [0, ...Object.values(defaultCompressionRates)];
  const count = optionalNumber(config, 'num_hidden_layers', 0);
  const block = ratios.slice(0, count).findIndex((ratio) => !known.includes(ratio));
  return block < 0 && ratios.length >= count
    ? undefined
    : {
        field: 'compress_ratios',
        code: block < 0 ? 'list-length-mismatch' : 'block-value-unsupported',
        problem:
          block < 0
            ? say`It has ${ratios.length} entries for ${count} blocks.`
            : say`It has ${JSON.stringify(ratios[block])} for block ${block}, expected ${known.join(' or ')}.`,
        remedy: say`Correct the field: it defines the attention of each block.`,
      };
}

/** The older fields win, as in transformers. */
const readRate = (config: ConfigFields, type: string): number | undefined => {
  const { compress_rates: given } = config;
  const defaultRate = defaultCompressionRates[type];
  return defaultRate === undefined
    ? undefined
    : optionalNumber(
        config,
        rateFields[type] ?? '',
        optionalNumber(isRecord(given) ? given : {}, type, defaultRate),
      );
};

/** Entry of `mlp_layer_types` by the number of blocks whose experts a table chooses. */
export const mixtureType = (config: ConfigFields, block: number): string =>
  block < optionalNumber(config, 'num_hash_layers', 3) ? byTable : 'moe';

/** Fields of older configurations that speak of blocks by their numbers, for the blocks that stay. */
function prunedFields(config: ConfigFields, blocks: readonly number[]): ConfigFields {
  const { compress_ratios: ratios, mlp_layer_types: types, num_hash_layers: tables } = config;
  const isTable = blocks.map(
    (block) => (Array.isArray(types) ? types[block] : mixtureType(config, block)) === byTable,
  );
  const count = isTable.filter(Boolean).length;
  return {
    ...(Array.isArray(ratios)
      ? {
          // Rates of multi-token prediction blocks follow those of the model's blocks.
          compress_ratios: [
            ...blocks.map((block): unknown => ratios[block]),
            ...(ratios.slice(
              optionalNumber(config, 'num_hidden_layers', ratios.length),
            ) as unknown[]),
          ],
        }
      : {}),
    ...(tables === undefined
      ? {}
      : { num_hash_layers: isTable.lastIndexOf(true) < count ? count : undefined }),
  };
}

const compressor = (module: string): CompressedNames['compressor'] => ({
  values: `${module}.wkv`,
  gate: `${module}.wgate`,
  places: `${module}.ape`,
  norm: `${module}.norm`,
});

/** Rotary embeddings of near and of compressed attention, under the names that other families have. */
function ropes(config: ConfigFields): ConfigFields {
  const { rope_parameters: now, rope_scaling: before } = config;
  const given = isRecord(now) ? now : isRecord(before) ? before : {};
  const { main, compress, ...scaling } = given;
  if (isRecord(main) && isRecord(compress)) {
    return { sliding_attention: main, full_attention: compress };
  }
  const head = optionalNumber(config, 'head_dim', 512);
  const share = optionalNumber(
    config,
    'partial_rotary_factor',
    optionalNumber(config, 'qk_rope_head_dim', head / 8) / head,
  );
  const partial = { partial_rotary_factor: share };
  return {
    sliding_attention: { ...partial, rope_theta: optionalNumber(config, 'rope_theta', 10_000) },
    full_attention: {
      // Cosines and sines keep their size.
      attention_factor: 1,
      ...scaling,
      ...partial,
      rope_theta: optionalNumber(config, 'compress_rope_theta', 160_000),
    },
  };
}

/** DeepSeek-V4: hyper-connections, attention to near tokens and compressed runs, experts chosen by token or score. */
export const deepseekV4: Architecture = {
  ...base,
  modelType: 'deepseek_v4',
  classes: { config: 'DeepseekV4Config', model: 'DeepseekV4ForCausalLM' },
  moduleNames: {
    attn: 'self_attn',
    attn_norm: 'input_layernorm',
    ffn: 'mlp',
    ffn_norm: 'post_attention_layernorm',
  },
  config: {
    names: { num_experts: 'n_routed_experts', intermediate_size: 'moe_intermediate_size' },
    lists: {
      layer_types: layerType,
      mlp_layer_types: mixtureType,
    },
    fault: unknownRatio,
    pruned: prunedFields,
    defaults: () => ({
      ...sizes,
      head_dim: 512,
      q_lora_rank: 1024,
      num_experts: 256,
      num_experts_per_tok: 6,
      moe_intermediate_size: 2048,
      intermediate_size: 2048,
      routed_scaling_factor: 1.5,
      max_position_embeddings: 1_048_576,
      sliding_window: 128,
    }),
    computed: (config) => ({ num_key_value_heads: 1, rope_parameters: ropes(config) }),
    only: () => ({ mlp_bias: false, scoring_func: ['sqrtsoftplus', 'sigmoid'] }),
  },
  embeddingAndHead: { ...base.embeddingAndHead, heads: ['head', 'lm_head'] },
  // As published.
  aliases: {
    'embed_tokens.weight': 'embed.weight',
    'hc_head.hc_': 'hc_head_',
    '.attn.norm.': '.attn.kv_norm.',
  },
  attention: {
    ...base.attention,
    wiring: preNorm('attn_norm'),
    output: 'attn.wo_b',
    parts: { sinks: 'attn.attn_sink' },
    compressed: {
      queryDown: 'attn.wq_a',
      queryNorm: 'attn.q_norm',
      queryUp: 'attn.wq_b',
      key: 'attn.wkv',
      keyNorm: 'attn.norm',
      groups: 'attn.wo_a',
      compressor: compressor('attn.compressor'),
      indexer: {
        query: 'attn.indexer.wq_b',
        weights: 'attn.indexer.weights_proj',
        compressor: compressor('attn.indexer.compressor'),
      },
    },
  },
  feedforward: {
    wiring: preNorm('ffn_norm'),
    gateUp: ['ffn.w1', 'ffn.w3'],
    down: 'ffn.w2',
  },
  experts: {
    modules: ['ffn'],
    router: 'gate',
    choiceBias: 'gate.bias',
    parts: {
      table: {
        name: 'gate.tid2eid',
        appliesTo: ({ mlp_layer_types: types }, block) =>
          Array.isArray(types) && types[block] === byTable,
      },
    },
    expertParts: { clamp: (config) => ({ limit: optionalNumber(config, 'swiglu_limit', 10) }) },
    gateUp: ['w1', 'w3'],
    down: 'w2',
    inner: ({ moe_intermediate_size: inner }) => inner,
    routing: (config) => ({
      score: config['scoring_func'] === 'sigmoid' ? 'sigmoid' : 'root-softplus',
      normalized: true,
      shareScale: config.routed_scaling_factor,
    }),
    shared: ({ moe_intermediate_size: inner }) => ({
      ...gatedSharedExpert('ffn.shared_experts', inner),
      gateUp: ['ffn.shared_experts.w1', 'ffn.shared_experts.w3'],
      down: 'ffn.shared_experts.w2',
    }),
    isSparse: () => true,
  },
  compressed: (config, block) => {
    const type = config.layer_types?.[block] ?? near;
    return {
      queryRank: config.q_lora_rank ?? 1024,
      groups: sizeIn(config, 'o_groups'),
      groupRank: sizeIn(config, 'o_lora_rank'),
      rate: readRate(config, type),
      indexer:
        type === sparseLayerType
          ? {
              numHeads: sizeIn(config, 'index_n_heads'),
              headDim: sizeIn(config, 'index_head_dim'),
              best: sizeIn(config, 'index_topk'),
            }
          : undefined,
    };
  },
  connections: {
    count: (config) => sizeIn(config, 'hc_mult'),
    rounds: (config) => sizeIn(config, 'hc_sinkhorn_iters'),
    epsilon: (config) => sizeIn(config, 'hc_eps'),
    attention: 'hc_attn_',
    feedforward: 'hc_ffn_',
    head: 'hc_head.hc_',
    modules: { attention: 'attn_hc', feedforward: 'ffn_hc' },
  },
  rotary: 'by-layer-type',
  interleavedRotary: true,
  slidingWindow: windowEverywhere,
};
