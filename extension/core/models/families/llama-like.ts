import type { Architecture } from '../transformer/architecture';
import { derive, named } from '../transformer/derive';
import {
  allBiases,
  attention,
  attentionBiases,
  base,
  configuredBiases,
  windowEverywhere,
  feedforward,
  fusedGateUpMlp,
  graniteScales,
  noBiases,
  queryKeyNorms,
  rotatesByList,
  windowedByType,
  windowedLayers,
} from './shared-parts';
import { parallelBranch } from '../modules/wiring-names';

/** MLPs are rounded up to a multiple of this. */
const sizeStep = 256;

interface BlockConfig {
  readonly attention?: { readonly no_op?: boolean; readonly n_heads_in_group?: number | null };
  readonly ffn?: { readonly no_op?: boolean; readonly ffn_mult?: number | null };
}

/** DeciLM (Puzzle, arXiv 2411.19146): a Llama whose blocks may lack attention or MLP. */
export const nemotronNas: Architecture = {
  ...base,
  modelType: 'nemotron-nas',
  biases: configuredBiases,
  config: {
    computed: (config) => {
      const blocks = (config['block_configs'] ?? []) as readonly BlockConfig[];
      const groups = blocks.flatMap(({ attention }) => attention?.n_heads_in_group ?? []);
      const hidden = Number(config['hidden_size']);
      const sizes = blocks.map(({ ffn }) =>
        typeof ffn?.ffn_mult === 'number' ? intermediateSize(ffn.ffn_mult, hidden) : undefined,
      );
      const defaultSize = sizes.find((size) => size !== undefined) ?? intermediateSize(1, hidden);
      const widths = Object.fromEntries(
        sizes.flatMap((size, block) =>
          size === undefined || size === defaultSize ? [] : [[`block.${block}.feedforward`, size]],
        ),
      );
      return {
        num_key_value_heads: Number(config['num_attention_heads']) / (groups[0] ?? 1),
        intermediate_size: defaultSize,
        espalier: {
          removed: absentSublayers(blocks),
          ...(Object.keys(widths).length === 0 ? {} : { widths }),
        },
        'block_configs with groups of one size': new Set(groups).size < 2,
      };
    },
    only: () => ({ 'block_configs with groups of one size': true }),
  },
};

/** Size that the loaders of DeciLM models compute: ⌊2/3 · ffn_mult · hidden⌋, rounded up. */
function intermediateSize(ffnMult: number, hiddenSize: number): number {
  return Math.ceil(Math.trunc((2 * ffnMult * hiddenSize) / 3) / sizeStep) * sizeStep;
}

function absentSublayers(blocks: readonly BlockConfig[]): string[] {
  return blocks.flatMap(({ attention, ffn }, block) => [
    ...(attention?.no_op === true ? [`block.${block}.attention`] : []),
    ...(ffn?.no_op === true ? [`block.${block}.feedforward`] : []),
  ]);
}

export const qwen2 = {
  ...base,
  modelType: 'qwen2',
  config: { defaults: () => ({ num_key_value_heads: 32 }) },
  biases: () => ({ ...noBiases(), queryKeyValue: true }),
  slidingWindow: windowedLayers,
} satisfies Architecture;

/** Families in the manner of Llama (arXiv 2302.13971): attention, then an MLP, rotary positions. */
export const llamaLikeFamilies: readonly Architecture[] = [
  { ...base, modelType: 'llama', biases: configuredBiases },
  derive(base, 'mistral', {
    defaults: { num_key_value_heads: 8 },
    slidingWindow: windowEverywhere,
  }),
  qwen2,
  derive(base, 'qwen3', {
    defaults: { num_key_value_heads: 32, head_dim: 128 },
    attention: { ...attention, queryKeyNorms },
    biases: attentionBiases,
    slidingWindow: windowedLayers,
  }),
  derive(base, 'phi3', {
    attention: { ...attention, queryKeyValue: { fused: 'self_attn.qkv_proj' } },
    feedforward: fusedGateUpMlp,
    slidingWindow: windowEverywhere,
  }),
  derive(base, 'granite', {
    biases: configuredBiases,
    scales: graniteScales,
  }),
  derive(base, 'starcoder2', {
    names: { rms_norm_eps: 'norm_epsilon' },
    defaults: {
      num_key_value_heads: 2,
      hidden_act: 'gelu_pytorch_tanh',
      rms_norm_eps: 1e-5,
      max_position_embeddings: 4096,
      tie_word_embeddings: true,
    },
    norm: 'layer',
    feedforward: {
      wiring: feedforward.wiring,
      gateUp: ['mlp.c_fc'],
      down: 'mlp.c_proj',
    },
    biases: (config) => allBiases(config.use_bias),
    slidingWindow: windowEverywhere,
  }),
  derive(base, named('stablelm', 'StableLm'), {
    names: { rms_norm_eps: 'layer_norm_eps' },
    defaults: {
      num_key_value_heads: 32,
      rms_norm_eps: 1e-5,
      max_position_embeddings: 4096,
      partial_rotary_factor: 0.25,
      use_parallel_residual: false,
    },
    norm: 'layer',
    biases: (config) => ({ ...noBiases(), queryKeyValue: config.use_qkv_bias }),
    form: (config) => ({
      ...(config.use_parallel_residual === true
        ? { feedforward: { ...feedforward, wiring: parallelBranch(attention.wiring) } }
        : {}),
      ...(config.qk_layernorm === true
        ? {
            attention: {
              ...attention,
              queryKeyNorms: {
                query: 'self_attn.q_layernorm',
                key: 'self_attn.k_layernorm',
                over: 'each-head',
              },
            },
          }
        : {}),
    }),
  }),
  derive(base, named('smollm3', 'SmolLM3'), {
    defaults: {
      num_key_value_heads: 4,
      max_position_embeddings: 32_768,
      tie_word_embeddings: true,
      rope_theta: 2_000_000,
    },
    lists: {
      no_rope_layers: ({ no_rope_layer_interval: every = 4 }, block) =>
        Number((block + 1) % Number(every) !== 0),
    },
    biases: configuredBiases,
    turns: rotatesByList,
    slidingWindow: windowedByType,
  }),
];
