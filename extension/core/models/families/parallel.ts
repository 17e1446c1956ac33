import type { Architecture, QueryKeyNormExtent, Biases } from '../transformer/architecture';
import { derive, named } from '../transformer/derive';
import type { ConfigFields, ModelConfig } from '../transformer/model-config';
import {
  alibiSlopes,
  allBiases,
  attention,
  attentionBiases,
  base,
  everyNthFull,
  feedforward,
  queryKeyLayernorms,
  windowedByType,
  fourTimesHidden,
  gptNames,
  noBiases,
} from './shared-parts';
import { isWindowedIfAny } from './post-norm';
import { parallelBranch, preNorm } from '../modules/wiring-names';

/** GPT-J and CodeGen: one norm for both branches. */
const gptjLike = {
  config: {
    names: { ...gptNames, max_position_embeddings: 'n_positions' },
    defaults: (config: ConfigFields): ConfigFields => ({
      max_position_embeddings: 2048,
      intermediate_size: fourTimesHidden(config),
      hidden_act: 'gelu_new',
      rms_norm_eps: 1e-5,
      rotary_dim: 64,
    }),
  },
  embeddingAndHead: {
    prefixes: ['transformer.', ''],
    embedding: 'wte',
    finalNorm: 'ln_f',
    blocks: 'h',
    headBias: true,
  },
  norm: 'layer',
  feedforward: {
    wiring: parallelBranch(preNorm('ln_1')),
    gateUp: ['mlp.fc_in'],
    down: 'mlp.fc_out',
  },
  biases: (): Biases => ({ ...noBiases(), feedforward: true }),
  interleavedRotary: true,
} as const;

/** Families in which attention and MLP read the same norm of the block's input. */
export const gptjFamilies: readonly Architecture[] = [
  derive({ ...base, ...gptjLike }, named('gptj', 'GPTJ'), {
    attention: {
      wiring: preNorm('ln_1'),
      queryKeyValue: ['attn.q_proj', 'attn.k_proj', 'attn.v_proj'],
      output: 'attn.out_proj',
    },
  }),
  derive({ ...base, ...gptjLike }, named('codegen', 'CodeGen'), {
    attention: {
      wiring: preNorm('ln_1'),
      queryKeyValue: {
        fused: 'attn.qkv_proj',
        order: 'query-value-key-by-quarter',
      },
      output: 'attn.out_proj',
    },
  }),
];

/** Query, key and value in one matrix, head by head. */
const fusedByGroup = (name: string) => ({ fused: name, order: 'by-group' }) as const;

const neox = {
  ...base,
  embeddingAndHead: {
    prefixes: ['gpt_neox.', ''],
    embedding: 'embed_in',
    finalNorm: 'final_layer_norm',
    blocks: 'layers',
    heads: ['lm_head', 'embed_out'],
  },
  norm: 'layer',
  attention: {
    wiring: attention.wiring,
    queryKeyValue: fusedByGroup('attention.query_key_value'),
    output: 'attention.dense',
  },
  feedforward: {
    wiring: feedforward.wiring,
    gateUp: ['mlp.dense_h_to_4h'],
    down: 'mlp.dense_4h_to_h',
  },
} as const;

const neoxNames = {
  rms_norm_eps: 'layer_norm_eps',
  rope_theta: 'rotary_emb_base',
  partial_rotary_factor: 'rotary_pct',
};

const phiAttention = { ...attention, output: 'self_attn.dense' } as const;

const cohere = {
  ...base,
  norm: 'layer-without-bias',
  feedforward: { ...feedforward, wiring: parallelBranch(attention.wiring) },
  biases: attentionBiases,
  interleavedRotary: true,
  scales: ({ logit_scale: scale }: ModelConfig) => ({ logits: scale }),
} as const;

/** Command R7B and later. Only windowed blocks have rotary embeddings. */
export const cohere2 = {
  ...cohere,
  turns: isWindowedIfAny,
  slidingWindow: windowedByType,
} as const;

export const cohere2Lists = {
  layer_types: ({ sliding_window_pattern: every = 4 }: ConfigFields, block: number): string =>
    everyNthFull(Number(every), block),
};

export const falconBranches = {
  attention: {
    wiring: attention.wiring,
    queryKeyValue: fusedByGroup('self_attention.query_key_value'),
    output: 'self_attention.dense',
  },
  feedforward: {
    wiring: feedforward.wiring,
    gateUp: ['mlp.dense_h_to_4h'],
    down: 'mlp.dense_4h_to_h',
  },
} as const;

/** One norm for both branches, or one each. */
function falconForm(config: ModelConfig): Partial<Architecture> {
  const { parallel_attn: parallel, new_decoder_architecture: isNew } = config;
  const hasOwnNorms = isNew && (config.num_ln_in_parallel_attn ?? 2) === 2;
  const second = parallel ? attention : feedforward;
  const norms = hasOwnNorms
    ? { first: preNorm('ln_attn'), second: preNorm('ln_mlp') }
    : { first: attention.wiring, second: second.wiring };
  return {
    attention: { ...falconBranches.attention, wiring: norms.first },
    feedforward: {
      ...falconBranches.feedforward,
      wiring: parallel ? parallelBranch(norms.second) : norms.second,
    },
  };
}

function withNorms(
  branch: Architecture['attention'],
  query: string,
  key: string,
  over: QueryKeyNormExtent,
): Partial<Architecture> {
  return { attention: { ...branch, queryKeyNorms: { query, key, over } } };
}

function cohereForm(config: ModelConfig): Partial<Architecture> {
  return config.use_qk_norm === true
    ? withNorms(attention, 'self_attn.q_norm', 'self_attn.k_norm', 'each-head')
    : {};
}

/** Families in which attention and MLP of a block can read the same input, side by side. */
export const parallelFamilies: readonly Architecture[] = [
  derive(neox, named('gpt_neox', 'GPTNeoX'), {
    names: neoxNames,
    defaults: {
      hidden_act: 'gelu',
      rms_norm_eps: 1e-5,
      partial_rotary_factor: 0.25,
      attention_bias: true,
      use_parallel_residual: true,
    },
    biases: (config) => ({ ...attentionBiases(config), feedforward: true }),
    form: ({ use_parallel_residual: parallel = true }) =>
      parallel
        ? { feedforward: { ...neox.feedforward, wiring: parallelBranch(neox.feedforward.wiring) } }
        : {},
  }),
  derive(neox, named('gpt_neox_japanese', 'GPTNeoXJapanese'), {
    attentionGives: 'triple',
    names: neoxNames,
    defaults: { hidden_act: 'gelu', rms_norm_eps: 1e-5, tie_word_embeddings: true },
    computed: ({ hidden_size: hidden, intermediate_multiple_size: times = 4 }) => ({
      intermediate_size: Math.trunc(Number(hidden) * Number(times)),
    }),
    embeddingAndHead: { ...neox.embeddingAndHead, prefixes: ['gpt_neox_japanese.', ''] },
    // In the last block only.
    attention: { ...neox.attention, outputBias: 'attention.dense_bias' },
  }),
  derive(base, 'phi', {
    names: { rms_norm_eps: 'layer_norm_eps' },
    defaults: {
      hidden_act: 'gelu_new',
      rms_norm_eps: 1e-5,
      partial_rotary_factor: 0.5,
    },
    embeddingAndHead: { ...base.embeddingAndHead, finalNorm: 'final_layernorm', headBias: true },
    norm: 'layer',
    attention: phiAttention,
    feedforward: {
      wiring: parallelBranch(attention.wiring),
      gateUp: ['mlp.fc1'],
      down: 'mlp.fc2',
    },
    biases: () => allBiases(true),
    form: (config) =>
      config.qk_layernorm === true
        ? withNorms(phiAttention, 'self_attn.q_layernorm', 'self_attn.k_layernorm', 'head')
        : {},
  }),
  derive(base, 'falcon', {
    names: {
      hidden_act: 'activation',
      rms_norm_eps: 'layer_norm_epsilon',
      intermediate_size: 'ffn_hidden_size',
    },
    defaults: ({ hidden_size: hidden, ...fields }) => ({
      hidden_act: 'gelu',
      rms_norm_eps: 1e-5,
      intermediate_size: typeof hidden === 'number' ? 4 * hidden : undefined,
      tie_word_embeddings: true,
      num_key_value_heads:
        fields['new_decoder_architecture'] === true
          ? fields['num_kv_heads']
          : (fields['multi_query'] ?? true) === true
            ? 1
            : fields['num_attention_heads'],
    }),
    only: ({ new_decoder_architecture: isNew }) => (isNew === true ? { parallel_attn: true } : {}),
    embeddingAndHead: {
      prefixes: ['transformer.', ''],
      embedding: 'word_embeddings',
      finalNorm: 'ln_f',
      blocks: 'h',
    },
    norm: 'layer',
    ...falconBranches,
    biases: ({ bias }) => allBiases(bias),
    turns: ({ alibi }) => !alibi,
    slopes: ({ alibi, num_attention_heads: heads, hidden_size: hidden }) =>
      alibi ? alibiSlopes(heads).map((slope) => slope / Math.sqrt(hidden / heads)) : undefined,
    form: falconForm,
  }),
  derive(cohere, 'cohere', {
    names: { rms_norm_eps: 'layer_norm_eps' },
    defaults: {
      rms_norm_eps: 1e-5,
      max_position_embeddings: 8192,
      rope_theta: 500_000,
      tie_word_embeddings: true,
    },
    form: cohereForm,
  }),
  derive(cohere2, 'cohere2', {
    names: { rms_norm_eps: 'layer_norm_eps' },
    defaults: {
      rms_norm_eps: 1e-5,
      max_position_embeddings: 8192,
      tie_word_embeddings: true,
      sliding_window: 4096,
    },
    lists: cohere2Lists,
  }),
  derive(base, 'persimmon', {
    names: { rms_norm_eps: 'layer_norm_eps' },
    defaults: {
      hidden_act: 'relu2',
      rms_norm_eps: 1e-5,
      max_position_embeddings: 16_384,
      partial_rotary_factor: 0.5,
      qk_layernorm: true,
    },
    embeddingAndHead: { ...base.embeddingAndHead, finalNorm: 'final_layernorm' },
    norm: 'layer',
    attention: {
      wiring: attention.wiring,
      queryKeyValue: fusedByGroup('self_attn.query_key_value'),
      output: 'self_attn.dense',
    },
    feedforward: {
      wiring: feedforward.wiring,
      gateUp: ['mlp.dense_h_to_4h'],
      down: 'mlp.dense_4h_to_h',
    },
    biases: () => allBiases(true),
    form: (config) =>
      config.qk_layernorm === true
        ? {
            attention: {
              wiring: attention.wiring,
              queryKeyValue: fusedByGroup('self_attn.query_key_value'),
              output: 'self_attn.dense',
              queryKeyNorms: queryKeyLayernorms,
            },
          }
        : {},
  }),
];
