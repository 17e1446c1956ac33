import { graniteSwa as familyOfGraniteSwa } from '../families/mixtures/softmax-experts';
import type { ConfigFields, ModelConfig } from '../transformer/model-config';
import type { GgufFamily, GgufSource, GgufTraits } from './gguf-traits';
import { countMultiTokenBlocks, readBlockCount } from './gguf-blocks';
import { deepseek4 } from './deepseek4';
import {
  readGating,
  sigmoid,
  denseBlocks,
  ggufFields,
  hasRms,
  layerNormEpsilon,
  rotarySections,
} from './gguf-fields';
import type { GgufKeys } from './gguf-keys';
import { ggufBlocks } from './gguf-names';
import { say } from '../../message';
import { deepseekExperts, granite, deepseekLatent, sharedExpertFields } from './gguf-traits';
import { sharedKeysBlock } from '../families/gemma4';

const isPositive =
  (key: string) =>
  (keys: GgufKeys): boolean =>
    (keys.numberIfPresent(key) ?? 0) > 0;

/** `mlp_layer_types`, derived from the blocks that have a router. */
const describeSparse = ({ keys, tensors, sizes }: GgufSource): ConfigFields => ({
  intermediate_size: sizes.innerSize,
  mlp_layer_types: Array.from({ length: readBlockCount(keys) }, (_, block) =>
    tensors.has(`blk.${block}.ffn_gate_inp.weight`) ? 'sparse' : 'dense',
  ),
});

/** llama.cpp looks for a head of its own, and for no divisors of the rotary frequencies. */
const headAlone = {
  readsFactors: false,
  demands: () => ({ tie_word_embeddings: false }),
} as const;

/** Attention to the tokens that an indexer chooses (src/models/deepseek32.cpp). */
const sparseAttention = {
  isLatent: true,
  plainQueriesAt: [],
  readsFactors: false,
  fields: {
    ...deepseekExperts.fields,
    index_n_heads: 'attention.indexer.head_count',
    index_head_dim: 'attention.indexer.key_length',
    index_topk: 'attention.indexer.top_k',
  },
  demands: () => ({ rope_interleave: true }),
} as const;

/** Key of the flags of blocks that have an indexer (GLM-5.2). */
export const indexerTypes = 'attention.indexer.types';

/** True if a block chooses tokens itself instead of reusing the choice of the block before it. */
export const hasIndexer = (config: ConfigFields, block: number): boolean => {
  const { indexer_types: types } = config;
  return !Array.isArray(types) || types[block] !== 'shared';
};

/** If the list is absent, tensors tell: llama.cpp would assume one by block number (src/models/glm-dsa.cpp). */
const describeIndexers: NonNullable<GgufTraits['describe']> = async ({ keys, tensors }) => {
  const blocks = readBlockCount(keys);
  const flags = await keys.flags(indexerTypes, blocks, countMultiTokenBlocks(keys));
  return {
    indexer_types: Array.from({ length: blocks }, (_, block) =>
      (
        typeof flags === 'object'
          ? flags[block] === true
          : tensors.has(`${ggufBlocks}.${block}.indexer.attn_k.weight`)
      )
        ? 'full'
        : 'shared',
    ),
  };
};

/** Key of the blocks that have a rotary embedding. */
const rotaryFlags = 'attention.rope_pattern';

const graniteSharedExperts = (keys: GgufKeys): ConfigFields => ({
  shared_intermediate_size: keys.numberIfPresent(ggufFields.shared_expert_intermediate_size) ?? 0,
});

const graniteSwa: GgufTraits = {
  ...granite,
  windows: { period: 4, fullFirst: true, ownRotary: false },
  blockFlags: { [rotaryFlags]: familyOfGraniteSwa.turns },
  describe: async ({ keys }) => {
    const flags = await keys.flags(rotaryFlags, readBlockCount(keys));
    const theta = keys.number('rope.freq_base');
    return typeof flags === 'object'
      ? {
          layer_rope_theta: flags.map((turns) => (turns ? theta : 0)),
          ...graniteSharedExperts(keys),
        }
      : graniteSharedExperts(keys);
  },
};

/** Constants that llama.cpp uses for MiniCPM3 (src/models/minicpm3.cpp). */
const minicpmScales = { scale_emb: 12, scale_depth: 1.4, dim_model_base: 256 } as const;

/** Windowed blocks have twice the key/value heads of others. */
const describeMimo: NonNullable<GgufTraits['describe']> = (source) => {
  const { keys, sizes, types } = source;
  const base = sizes.blockKeyValueHeads.map((heads, block) =>
    types[block] === 'sliding_attention' ? heads / 2 : heads,
  );
  const [heads = 1, ...others] = new Set(base);
  return others.length > 0
    ? keys.fault(
        keys.name(ggufFields.num_key_value_heads),
        'gguf-window-heads-unsupported',
        say`Sliding-window blocks must have twice as many key/value heads as other blocks.`,
        say`Use the Hugging Face folder of the model.`,
      )
    : {
        ...describeSparse(source),
        num_key_value_heads: heads,
        attention_value_scale: keys.numberIfPresent('attention.value_scale') ?? null,
      };
};

/** Families of 2025 and later by `general.architecture`, including those that share an architecture. */
export const newerGgufFamilies: Readonly<Record<string, GgufFamily>> = {
  olmo2: {
    modelType: 'olmo2',
    ...headAlone,
    others: [
      {
        modelType: 'olmo3',
        ...headAlone,
        matches: isPositive(ggufFields.sliding_window),
        windows: { period: 4, ownRotary: 'unscaled' },
      },
    ],
  },
  granitemoe: {
    modelType: 'granitemoe',
    ...granite,
    others: [
      {
        modelType: 'granitemoeshared',
        matches: isPositive(ggufFields.shared_expert_intermediate_size),
        ...granite,
        splitsGateUp: true,
        describe: ({ keys }) => graniteSharedExperts(keys),
      },
    ],
  },
  glm4: {
    modelType: 'glm4',
    takesFewerHeads: true,
    others: [
      {
        modelType: 'glm4v_text',
        matches: (keys) => keys.isList(rotarySections),
        takesFewerHeads: true,
        halved: true,
        hasSections: true,
      },
    ],
  },
  mellum: {
    modelType: 'mellum',
    ...headAlone,
    normsExpertWeights: true,
    windows: { period: 4, ownRotary: 'unscaled', mayLack: true },
  },
  cohere2moe: {
    modelType: 'cohere2_moe',
    readsFactors: false,
    windows: { period: 4, fullFirst: true, ownRotary: false },
    adapt: (keys) => (hasRms(keys) ? { norm: 'rms' } : {}),
    fields: {
      logit_scale: 'logit_scale',
      num_shared_experts: 'expert_shared_count',
      first_k_dense_replace: denseBlocks,
    },
    storesGating: true,
    describe: ({ keys, sizes }) => ({
      intermediate_size: keys.number(ggufFields.moe_intermediate_size),
      ...(hasRms(keys)
        ? {}
        : { rms_norm_eps: null, layer_norm_eps: keys.number(layerNormEpsilon) }),
      expert_selection_fn: (readGating(keys) ?? sigmoid) === sigmoid ? 'sigmoid' : 'softmax',
      mlp_layer_types: sizes.blockInnerSizes.map((_, block) =>
        block < keys.number(denseBlocks) ? 'dense' : 'sparse',
      ),
    }),
    demands: () => ({ shared_expert_combination_strategy: 'average' }),
  },
  apertus: {
    modelType: 'apertus',
    alsoFrom: ['apertus1p5_text'],
    demands: headAlone.demands,
  },
  mistral4: {
    modelType: 'mistral4',
    ...deepseekLatent,
    demands: () => ({ rope_interleave: true }),
  },
  afmoe: {
    modelType: 'afmoe',
    readsFactors: false,
    unrotatedEvery: 4,
    windows: { period: 4, ownRotary: false },
    fields: { num_dense_layers: denseBlocks, ...sharedExpertFields },
    settled: { mup_enabled: true },
    demands: () => ({ mup_enabled: true }),
  },
  'exaone-moe': {
    modelType: 'exaone_moe',
    windows: { period: 4, ownRotary: false },
    ...deepseekExperts,
  },
  hy_v3: {
    modelType: 'hy_v3',
    readsFactors: false,
    aliases: { 'exp_probs_b.bias': 'exp_probs_b' },
    sparseByTensors: true,
    describe: describeSparse,
    fields: sharedExpertFields,
  },
  deepseek4,
  deepseek32: { modelType: 'deepseek_v32', ...sparseAttention },
  'glm-dsa': {
    modelType: 'glm_moe_dsa',
    ...sparseAttention,
    blockFlags: { [indexerTypes]: hasIndexer },
    describe: describeIndexers,
  },
  granite_swa: {
    modelType: 'granite_swa',
    withExperts: 'granitemoe_swa',
    ...graniteSwa,
  },
  minicpm3: {
    modelType: 'minicpm3',
    isLatent: true,
    joinsLatent: true,
    readsFactors: false,
    readsLengthFactors: true,
    settled: minicpmScales,
    plainQueriesAt: [],
    demands: () => ({
      scale_emb: minicpmScales.scale_emb,
      dim_model_base: minicpmScales.dim_model_base,
    }),
    factors: (config, blocks) => {
      const { scale_depth: depth }: ConfigFields = config;
      const own = typeof depth === 'number' ? depth / Math.sqrt(config.num_hidden_layers) : 1;
      const factor = (own * Math.sqrt(blocks)) / minicpmScales.scale_depth;
      return { attn_output: factor, ffn_down: factor };
    },
  },
  mimo2: {
    modelType: 'mimo_v2_flash',
    readsFactors: false,
    normsExpertWeights: true,
    sparseByTensors: true,
    sizesDiffer: true,
    needsOneSize: true,
    ownValueSize: true,
    windows: { period: 1, ownRotary: true },
    fields: { attention_value_scale: 'attention.value_scale' },
    demands: () => ({
      tie_word_embeddings: false,
      attention_bias: false,
      routed_scaling_factor: 1,
      n_group: 1,
    }),
    describe: describeMimo,
  },
  laguna: {
    modelType: 'laguna',
    readsFactors: false,
    storesGating: true,
    windows: { period: 4, fullFirst: true, ownRotary: true, ownShare: true, mayLack: true },
    fields: {
      first_k_dense_replace: denseBlocks,
      routed_scaling_factor: 'expert_weights_scale',
    },
    describe: ({ tensors, sizes }) => ({
      gating:
        tensors.get('blk.0.attn_gate.weight')?.shape[0] === sizes.heads
          ? 'per-head'
          : 'per-element',
    }),
  },
  bailingmoe2: {
    modelType: 'sarvam_moe',
    ...deepseekExperts,
    readsFactors: false,
    settled: { use_qk_norm: true },
    demands: (config) => ({
      tie_word_embeddings: false,
      use_qk_norm: true,
      // The size that the file says is multiplied with their number.
      n_shared_experts: 1,
      head_dim: config.hidden_size / config.num_attention_heads,
    }),
  },
};

/** Default soft cap of the logits. */
const defaultLogitCap = 30;

/**
 * Config fields of Gemma 4 (conversion/gemma.py). Blocks may have experts in addition to the MLP.
 * Full-attention blocks have another head size, may have another number of heads, and may use their
 * keys as values.
 */
export function describeGemma4({
  keys,
  tensors,
  sizes: { blockKeyValueHeads, innerSize },
  types,
}: GgufSource): Readonly<Record<string, unknown>> {
  const headDim = keys.number('attention.key_length_swa');
  const fullDim = keys.number('attention.key_length');
  const first = types.length - (keys.numberIfPresent('attention.shared_kv_layers') ?? 0);
  const isFull = (block: number): boolean => types[block] === 'full_attention';
  const inner = keys.numberIfPresent(ggufFields.moe_intermediate_size);
  const cap = keys.numberIfPresent(ggufFields.final_logit_softcapping) ?? defaultLogitCap;
  return {
    intermediate_size: innerSize,
    final_logit_softcapping: cap === 0 ? null : cap,
    enable_moe_block: tensors.has('blk.0.ffn_gate_inp.weight'),
    ...(inner === undefined ? {} : { moe_intermediate_size: inner }),
    head_dim: headDim,
    per_layer_config: Object.fromEntries(
      types.map((_, block) => [
        String(block),
        {
          head_dim: isFull(block) ? fullDim : headDim,
          num_key_value_heads: blockKeyValueHeads[block],
        },
      ]),
    ),
    attention_k_eq_v: types.some(
      (_, block) => block < first && isFull(block) && !tensors.has(`blk.${block}.attn_v.weight`),
    ),
  };
}

/**
 * Required config.json values, because llama.cpp has them hard-coded: full-attention blocks share the keys of the last
 * block with its own keys, sliding-window blocks those of the block before it (src/llama-kv-cache-iswa.cpp).
 */
export function gemma4Demands(config: ModelConfig): Readonly<Record<string, unknown>> {
  const { num_hidden_layers: blocks, layer_types: types } = config;
  const lenders = Array.from({ length: blocks }, (_, block) => sharedKeysBlock(config, block));
  const first = lenders.findIndex((lender) => lender !== undefined);
  const areLast = lenders.every(
    (lender, block) =>
      lender === undefined || lender === first - (types?.[block] === 'full_attention' ? 1 : 2),
  );
  return areLast ? {} : { num_kv_shared_layers: 0 };
}
