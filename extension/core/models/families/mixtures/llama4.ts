import type { Architecture } from '../../transformer/architecture';
import type { ConfigFields } from '../../transformer/model-config';
import {
  attention,
  attentionBiases,
  base,
  gatedSharedExpert,
  rotatesByList,
} from '../shared-parts';
import { say } from '../../../message';
import { preNorm } from '../../modules/wiring-names';

/** True if a block has experts, according to `moe_layers` or the interval. */
function isSparse(
  { moe_layers: sparse, interleave_moe_layer_step: step = 1 }: ConfigFields,
  block: number,
): boolean {
  return Array.isArray(sparse) ? sparse.includes(block) : (block + 1) % Number(step) === 0;
}

/** The text tower of Llama 4. */
export const llama4: Architecture = {
  ...base,
  modelType: 'llama4_text',
  classes: { config: 'Llama4TextConfig', model: 'Llama4ForCausalLM' },
  otherModules: say`The experts of llama4_text models return a pair in transformers, other MLPs don't.`,
  config: {
    // The field for the expert width is renamed first, so that the MLP width can take its name.
    names: {
      moe_intermediate_size: 'intermediate_size',
      intermediate_size: 'intermediate_size_mlp',
      num_experts: 'num_local_experts',
    },
    defaults: () => ({
      moe_intermediate_size: 8192,
      intermediate_size: 16_384,
      num_key_value_heads: 8,
      head_dim: 128,
      num_experts: 16,
      num_experts_per_tok: 1,
      rms_norm_eps: 1e-5,
      rope_theta: 500_000,
      max_position_embeddings: 131_072,
    }),
    lists: {
      no_rope_layers: ({ no_rope_layer_interval: every = 4 }, block) =>
        Number((block + 1) % Number(every) !== 0),
    },
  },
  attention,
  blockForm: (config, block) =>
    config.use_qk_norm !== false && rotatesByList(config, block)
      ? {
          attention: {
            ...attention,
            queryKeyNorms: { over: 'head', afterRotary: true },
          },
        }
      : {},
  feedforward: {
    wiring: preNorm('post_attention_layernorm'),
    gateUp: ['feed_forward.gate_proj', 'feed_forward.up_proj'],
    down: 'feed_forward.down_proj',
  },
  experts: {
    modules: ['feed_forward'],
    router: 'router',
    gateUp: ['gate_proj', 'up_proj'],
    down: 'down_proj',
    joined: { gateUp: 'experts.gate_up_proj', down: 'experts.down_proj', transposed: true },
    inner: ({ moe_intermediate_size: inner }) => inner,
    routing: () => ({
      score: 'sigmoid',
      normalized: false,
      choosesByScores: true,
    }),
    parts: { scaledInput: {} },
    shared: ({ moe_intermediate_size: inner }) =>
      gatedSharedExpert('feed_forward.shared_expert', inner),
    isSparse,
    sparseFields: (sparse) => ({
      moe_layers: sparse.flatMap((one, block) => (one ? [block] : [])),
    }),
  },
  biases: attentionBiases,
  interleavedRotary: true,
  turns: rotatesByList,
  queryGrowth: ({
    attn_temperature_tuning: isTuned = true,
    attn_scale: scale = 0.1,
    floor_scale: period = 8192,
  }) =>
    isTuned === true
      ? { scale: Number(scale), period: Number(period), offset: 1, onlyUnrotated: true }
      : undefined,
  // Attention in chunks is full attention up to this length.
  maxPositions: ({ attention_chunk_size: chunk = 8192 }) =>
    chunk === null ? Number.POSITIVE_INFINITY : Number(chunk),
  limits:
    'Runs on up to `attention_chunk_size` tokens (8192 by default), one chunk of its attention.',
};
