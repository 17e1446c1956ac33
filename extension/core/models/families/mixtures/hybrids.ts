import type { Architecture, PartKind, MixerNames } from '../../transformer/architecture';
import type { ConfigFields, ModelConfig } from '../../transformer/model-config';
import {
  attentionBiases,
  base,
  windowEverywhere,
  optionalNumber,
  attention,
  feedforward,
} from '../shared-parts';
import { gemmaDefaults } from '../gemma';
import { preNorm, scaled, streamNorm } from '../../modules/wiring-names';
import { mixtralExperts } from './experts';
import { mixedByType, renumberedList } from './mixer-pieces';
import type { SumFactors, WiringNames } from '../../modules/wiring-names';
import { keepsTurns } from '../../shared-modules';
import type { SharedModules } from '../../shared-modules';
import { say } from '../../../message';
import { readStateSpace } from './state-spaces';

/** A block whose SSM layer also reads the output of a shared transformer. */
const sharing = 'hybrid';

/** Every sixth of 54 blocks, and two more. */
const defaultTypes: readonly string[] = Array.from({ length: 54 }, (_, block) =>
  (block % 6 === 0 && block > 0 && block <= 42) || block === 47 || block === 51
    ? sharing
    : 'linear_attention',
);

/** The first blocks that use shared transformers store their weights; later blocks reuse them. */
const sharedModules = (config: ConfigFields, types: unknown): SharedModules => ({
  module: 'shared_transformer',
  users: Array.isArray(types)
    ? types.flatMap((type, block) => (type === sharing ? [block] : []))
    : [],
  turns: optionalNumber(config, 'num_mem_blocks', 1),
});

const mixer: MixerNames = {
  wiring: { ...attention.wiring, parallel: 'sum' },
  module: 'mamba',
  form: (config) => ({
    ...readStateSpace(
      config,
      {
        heads: 'n_mamba_heads',
        headDim: 'mamba_headdim',
        stateSize: 'mamba_d_state',
        groups: 'mamba_ngroups',
        kernel: 'mamba_d_conv',
        bias: 'add_bias_linear',
        convolutionBias: '',
      },
      [8, concatenatedWidth(config) / optionalNumber(config, 'n_mamba_heads', 8), 64, 1],
    ),
    activation: 'silu',
    stepLimits: [optionalNumber(config, 'time_step_min', 0.001), Number.POSITIVE_INFINITY],
    epsilon: 1e-5,
  }),
};

const concatenatedWidth = (config: ModelConfig): number =>
  optionalNumber(config, 'mamba_expand', 2) * config.hidden_size;

/** Mamba-2 with alternating shared transformer blocks (arXiv 2411.15242). */
export const zamba2: Architecture = {
  ...base,
  modelType: 'zamba2',
  otherModules: say`transformers creates the layers of zamba2 models only in its own class.`,
  config: {
    names: { layer_types: 'layers_block_type' },
    lists: { layer_types: (_, block) => defaultTypes[block] },
    defaults: ({ hidden_size: hidden }) => ({
      hidden_act: 'gelu',
      intermediate_size: typeof hidden === 'number' ? 4 * hidden : undefined,
      max_position_embeddings: 4096,
      rms_norm_eps: 1e-5,
      tie_word_embeddings: true,
    }),
    computed: ({ hidden_size: hidden, num_attention_heads: heads, add_bias_linear: bias }) => ({
      head_dim: (2 * Number(hidden)) / Number(heads ?? 32),
      mlp_bias: bias === true,
    }),
    only: () => ({ use_long_context: false }),
    pruned: (config, blocks) => {
      const modules = sharedModules(config, config['layers_block_type'] ?? defaultTypes);
      if (!keepsTurns(modules, blocks)) {
        return undefined;
      }
      return 'hybrid_layer_ids' in config
        ? { hybrid_layer_ids: renumberedList(modules.users, blocks) }
        : {};
    },
    pruningProblem: say`Blocks of zamba2 models alternate between shared transformers. Removing this one would change which transformer later blocks use.`,
  },
  embeddingAndHead: { ...base.embeddingAndHead, finalNorm: 'final_layernorm' },
  shared: {
    output: 'linear',
    modules: (config) => sharedModules(config, config.layer_types),
    rank: (config) => optionalNumber(config, 'adapter_rank', 128),
    adaptsHeads: (config) => config['use_shared_attention_adapter'] === true,
  },
  mixer,
  blockForm: (config, block) =>
    config.layer_types?.[block] === sharing
      ? {
          mixer: {
            ...mixer,
            wiring: { ...mixer.wiring, norm: `mamba_decoder.${attention.wiring.norm}` },
            module: 'mamba_decoder.mamba',
          },
        }
      : {},
  parts: (config, block) =>
    config.layer_types?.[block] === sharing ? ['attention', 'mixer'] : ['mixer'],
  form: (config) => ({ rotary: config['use_mem_rope'] === true ? 'shared' : 'none' }),
  scales: (config) => ({
    attention: (config.hidden_size / config.num_attention_heads) ** -0.5,
  }),
};

/** Factors on the stream and on a branch, in fields that begin with its name. */
const branchFactors =
  (branch: string) =>
  (config: ConfigFields): SumFactors => ({
    stream: optionalNumber(config, `${branch}_alpha_factor`, 1),
    branch: optionalNumber(config, `${branch}_beta_factor`, 1),
  });

const mixerWiring = (branch: string): WiringNames =>
  scaled(streamNorm(attention.wiring.norm), branchFactors(branch));

/** MiniMax-Text-01 (arXiv 2501.08313): norms are applied to the stream itself before each sublayer. */
export const minimax: Architecture = {
  ...base,
  modelType: 'minimax',
  classes: { config: 'MiniMaxConfig', model: 'MiniMaxForCausalLM' },
  config: {
    names: { num_experts: 'num_local_experts' },
    lists: {
      layer_types: (_, block) => (block % 2 === 0 ? 'full_attention' : 'linear_attention'),
    },
    defaults: () => ({
      num_key_value_heads: 8,
      rms_norm_eps: 1e-5,
      max_position_embeddings: 131_072,
      rope_theta: 1_000_000,
    }),
  },
  attention: { ...attention, wiring: mixerWiring('full_attn') },
  mixer: {
    wiring: mixerWiring('linear_attn'),
    module: 'self_attn',
    form: (config) => ({
      kind: 'lightning',
      heads: config.num_attention_heads,
      headDim: config.head_dim ?? config.hidden_size / config.num_attention_heads,
      activation: config.hidden_act,
      epsilon: 1e-6,
    }),
    givesPair: true,
  },
  feedforward: {
    ...feedforward,
    wiring: scaled(streamNorm(feedforward.wiring.norm), branchFactors('mlp')),
  },
  experts: mixtralExperts,
  parts: mixedByType(mixtralExperts),
  slidingWindow: windowEverywhere,
};

const isRecurrent = (type: unknown): boolean => type === 'recurrent';

/** Kind of a block, from the repeated list. */
function blockKind({ block_types: types }: ConfigFields, block: number): unknown {
  const pattern: readonly unknown[] = Array.isArray(types)
    ? types
    : ['recurrent', 'recurrent', 'attention'];
  return pattern[block % pattern.length];
}

const firstPart = (config: ConfigFields, block: number): PartKind =>
  isRecurrent(blockKind(config, block)) ? 'mixer' : 'attention';

/** The nearest number with 8 bits of precision, as transformers keeps the factor on embeddings. */
function roundToBfloat16(x: number): number {
  const bits = new Uint32Array(Float32Array.of(x).buffer);
  const [whole = 0] = bits;
  bits[0] = (whole + 0x7f_ff + ((whole >>> 16) & 1)) & 0xff_ff_00_00;
  return new Float32Array(bits.buffer)[0] ?? x;
}

/** Griffin (arXiv 2402.19427) as Google publishes it. */
export const recurrentGemma: Architecture = {
  ...base,
  modelType: 'recurrent_gemma',
  classes: { config: 'RecurrentGemmaConfig', model: 'RecurrentGemmaForCausalLM' },
  config: {
    names: {
      hidden_act: 'hidden_activation',
      sliding_window: 'attention_window_size',
      final_logit_softcapping: 'logits_soft_cap',
    },
    defaults: () => ({
      hidden_act: gemmaDefaults.hidden_act,
      tie_word_embeddings: true,
      sliding_window: 2048,
      final_logit_softcapping: 30,
      partial_rotary_factor: 0.5,
    }),
    // transformers halves it.
    computed: ({ intermediate_size: both }) => ({
      intermediate_size: typeof both === 'number' ? Math.floor(both / 2) : both,
    }),
    pruned: (config, blocks) =>
      blocks.every((source, block) => blockKind(config, source) === blockKind(config, block))
        ? {}
        : { block_types: blocks.map((source) => blockKind(config, source)) },
  },
  embeddingAndHead: { ...base.embeddingAndHead, finalNorm: 'final_norm' },
  norm: 'rms-offset',
  attention: {
    wiring: preNorm('temporal_pre_norm'),
    queryKeyValue: ['q_proj', 'k_proj', 'v_proj'].map((name) => `temporal_block.${name}`),
    output: 'temporal_block.o_proj',
  },
  feedforward: {
    wiring: preNorm('channel_pre_norm'),
    gateUp: ['mlp_block.gate_proj', 'mlp_block.up_proj'],
    down: 'mlp_block.down_proj',
  },
  mixer: {
    wiring: preNorm('temporal_pre_norm'),
    module: 'temporal_block',
    form: (config) => ({
      kind: 'gated-recurrence',
      width: optionalNumber(config, 'lru_width', config.hidden_size),
      heads: config.num_attention_heads,
      kernel: optionalNumber(config, 'conv1d_width', 4),
      activation: config.hidden_act,
    }),
    givesPair: true,
  },
  parts: (config, block) => [firstPart(config, block), 'feedforward'],
  biases: (config) => ({ ...attentionBiases(config), attentionOutput: true, feedforward: true }),
  slidingWindow: windowEverywhere,
  scales: (config) => ({
    embedding: roundToBfloat16(Math.sqrt(config.hidden_size)),
    logitSoftCap: config.final_logit_softcapping ?? undefined,
  }),
};
