import type { Architecture } from '../transformer/architecture';
import type { ConfigFields } from '../transformer/model-config';
import { gemmaDefaults, gemmaSandwich } from './gemma';
import {
  hasLenders,
  sharedKeysBlock,
  normedAttention,
  perLayer,
  perLayerEnd,
  unscaledAttention,
} from './gemma4';
import {
  attentionBiases,
  base,
  everyNthFull,
  optionalNumber,
  windowedByType,
} from './shared-parts';

/** Default number of leading blocks with sparse MLPs, in models with more blocks than this. */
const sparseBlocks = 10;

const sparsityList = ({ num_hidden_layers: blocks }: ConfigFields, block: number): number =>
  Number(blocks) > sparseBlocks && block < sparseBlocks ? 0.95 : 0;

/** Entry `block` of a field that may be one number for all blocks. */
function listEntry(field: unknown, block: number): number {
  const value: unknown = Array.isArray(field) ? field[block] : field;
  return typeof value === 'number' ? value : 0;
}

/** The text tower of Gemma 3n (arXiv 2301.13310, 2411.07501). */
export const gemma3n: Architecture = {
  ...base,
  ...gemmaSandwich,
  modelType: 'gemma3n_text',
  classes: { config: 'Gemma3nTextConfig', model: 'Gemma3nForCausalLM' },
  config: {
    names: { hidden_act: 'hidden_activation', inner_sizes: 'intermediate_size' },
    lists: {
      layer_types: (_, block) => everyNthFull(5, block),
      activation_sparsity_pattern: sparsityList,
    },
    perBlock: ['intermediate_size', 'activation_sparsity_pattern'],
    defaults: () => ({
      ...gemmaDefaults,
      intermediate_size: 16_384,
      max_position_embeddings: 32_768,
      num_key_value_heads: 2,
      sliding_window: 512,
      rope_theta: 1_000_000,
      final_logit_softcapping: 30,
      num_kv_shared_layers: 15,
      hidden_size_per_layer_input: 256,
      altup_num_inputs: 4,
      altup_active_idx: 0,
    }),
    computed: ({ intermediate_size: sizes }) =>
      Array.isArray(sizes) ? { intermediate_size: Math.max(...sizes.map(Number)) } : {},
    only: (config) => ({
      altup_active_idx: 0,
      ...(hasLenders(config) ? {} : { num_kv_shared_layers: 0 }),
    }),
  },
  embeddingAndHead: { ...base.embeddingAndHead, perLayer },
  attention: normedAttention,
  feedforward: {
    ...gemmaSandwich.feedforward,
    parts: {
      sparsity: (config, block) => listEntry(config['activation_sparsity_pattern'], block),
    },
  },
  altUp: {
    count: (config) => optionalNumber(config, 'altup_num_inputs', 4),
    enter: 'altup_projections',
    leave: 'altup_unembed_projections',
    norm: 'altup.router_norm',
    router: 'altup.modality_router',
    predict: 'altup.prediction_coefs',
    correct: 'altup.correction_coefs',
  },
  laurel: {
    rank: (config) => optionalNumber(config, 'laurel_rank', 64),
    left: 'laurel.linear_left',
    right: 'laurel.linear_right',
    postNorm: 'laurel.post_laurel_norm',
  },
  end: {
    perLayer: perLayerEnd,
    scale: (config) =>
      config['altup_correct_scale'] === false ? undefined : 'altup.correct_output_scale',
  },
  innerSize: (config, block) => listEntry(config['inner_sizes'] ?? config.intermediate_size, block),
  sharedKeysBlock,
  biases: attentionBiases,
  rotary: 'by-layer-type',
  slidingWindow: windowedByType,
  scales: unscaledAttention,
};
