import type { Architecture, MixerNames } from '../../transformer/architecture';
import type { ConfigFields, ModelConfig } from '../../transformer/model-config';
import { keepsTurns } from '../../shared-modules';
import type { SharedModules } from '../../shared-modules';
import { say } from '../../../message';
import { attention, base, optionalNumber } from '../shared-parts';
import { renumberedList } from './mixer-pieces';
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
