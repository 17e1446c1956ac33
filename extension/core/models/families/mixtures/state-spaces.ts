import type {
  Architecture,
  ExpertNames,
  MixerNames,
  PartKind,
  Scales,
} from '../../transformer/architecture';
import { derive, named } from '../../transformer/derive';
import type { ConfigFields, ModelConfig } from '../../transformer/model-config';
import type { StateSpace } from '../../parts/mixers/state-space';
import { say } from '../../../message';
import { graniteExperts, graniteShared, graniteWithShared } from './experts';
import { mixedByType, renumberedList, optionalString } from './mixer-pieces';
import { parallelBranch, preNorm, scaled } from '../../modules/wiring-names';
import {
  optionalNumber,
  attention,
  attentionBiases,
  base,
  configuredBiases,
  feedforward,
  graniteScales,
} from '../shared-parts';

/** Names of the sizes of Mamba-2 in config.json. */
interface SizeNames {
  readonly heads: string;
  readonly headDim: string;
  readonly stateSize: string;
  readonly groups: string;
  readonly kernel: string;
  readonly bias: string;
  readonly convolutionBias: string;
}

const mambaSizes: SizeNames = {
  heads: 'mamba_n_heads',
  headDim: 'mamba_d_head',
  stateSize: 'mamba_d_state',
  groups: 'mamba_n_groups',
  kernel: 'mamba_d_conv',
  bias: 'mamba_proj_bias',
  convolutionBias: 'mamba_conv_bias',
};

/** Defaults of the configuration classes: heads, headDim, stateSize, groups. */
type Usual = readonly [number, number, number, number];

export function readStateSpace(config: ModelConfig, names: SizeNames, usual: Usual): StateSpace {
  const heads = optionalNumber(config, names.heads, usual[0]);
  const groups = optionalNumber(config, names.groups, usual[3]);
  const headDim = optionalNumber(config, names.headDim, usual[1]);
  return {
    kind: 'state-space',
    heads,
    headDim,
    stateSize: optionalNumber(config, names.stateSize, usual[2]),
    groups,
    kernel: optionalNumber(config, names.kernel, 4),
    activation: config.hidden_act,
    bias: config[names.bias] === true,
    convolutionBias: config[names.convolutionBias] !== false,
    normSize: (heads * headDim) / groups,
    stepLimits: limitsIn(config['time_step_limit']),
  };
}

/** transformers writes infinity as an object. */
function limitsIn(value: unknown): readonly [number, number] {
  const [low, high] = (Array.isArray(value) ? value : []) as readonly unknown[];
  return [
    typeof low === 'number' ? low : 0,
    typeof high === 'number' ? high : Number.POSITIVE_INFINITY,
  ];
}

/** State-space shape of Bamba and Granite 4: `mamba_expand` determines the width regardless of the number of heads. */
function hybridForm(config: ModelConfig): StateSpace {
  const heads = optionalNumber(config, 'mamba_n_heads', 128);
  const width = optionalNumber(config, 'mamba_expand', 2) * config.hidden_size;
  return readStateSpace(config, mambaSizes, [128, width / heads, 256, 1]);
}

const mamba: MixerNames = { wiring: attention.wiring, module: 'mamba', form: hybridForm };

const mambaFeedforward = {
  wiring: preNorm('pre_ff_layernorm'),
  gateUp: ['feed_forward.gate_proj', 'feed_forward.up_proj'],
  down: 'feed_forward.down_proj',
} as const;

const mambaEmbeddingAndHead = { ...base.embeddingAndHead, finalNorm: 'final_layernorm' };

/** Granite 4 without experts has only the shared one. */
const hasExperts = ({ num_local_experts: count = 8 }: ConfigFields): boolean => count !== 0;

const graniteHybridExperts: ExpertNames = {
  ...graniteExperts,
  shared: (config) => ({
    ...graniteShared,
    inner: optionalNumber(config, 'shared_intermediate_size', 1024),
  }),
  isSparse: hasExperts,
};

/** Falcon-H1's factors (μP) on attention and MLP. */
function falconScales(config: ModelConfig): Partial<Scales> {
  const into = optionalNumber(config, 'attention_in_multiplier', 1);
  const headDim = config.head_dim ?? config.hidden_size / config.num_attention_heads;
  return {
    embedding: config.embedding_multiplier,
    attention: headDim ** -0.5 * into * into * optionalNumber(config, 'key_multiplier', 1),
    logits: optionalNumber(config, 'lm_head_multiplier', 1),
  };
}

function falconForm(config: ModelConfig): StateSpace {
  const heads = optionalNumber(config, 'mamba_n_heads', 128);
  const expanded = optionalNumber(config, 'mamba_expand', 2) * config.hidden_size;
  const width =
    config['mamba_d_ssm'] === null ? expanded : optionalNumber(config, 'mamba_d_ssm', 1024);
  const form = readStateSpace(config, mambaSizes, [128, width / heads, 256, 1]);
  return {
    ...form,
    outputBias: config['projectors_bias'] === true,
    normSize: config['mamba_rms_norm'] === true ? form.normSize : undefined,
    normsFirst: config['mamba_norm_before_gate'] !== false,
    inputScale: optionalNumber(config, 'ssm_in_multiplier', 1),
    scales: numbersIn(config, 'ssm_multipliers'),
    outputScale: optionalNumber(config, 'ssm_out_multiplier', 1),
  };
}

function numbersIn(config: ConfigFields, field: string): number[] {
  const value = config[field];
  return Array.isArray(value) ? value.filter((one) => typeof one === 'number') : [];
}

const partKinds: Readonly<Record<string, PartKind>> = {
  linear_attention: 'mixer',
  mamba: 'mixer',
  moe: 'expert',
  full_attention: 'attention',
  attention: 'attention',
  mlp: 'feedforward',
};
const nemotronTypes: Readonly<Record<string, string>> = {
  M: 'linear_attention',
  E: 'moe',
  '*': 'full_attention',
  '-': 'mlp',
};

/** Nemotron-H has one sublayer a block, of the kinds that a list or a string names. */
function nemotronBlocks(config: ConfigFields): ConfigFields {
  const { layers_block_type: list, hybrid_override_pattern: pattern } = config;
  const types = Array.isArray(list)
    ? list
    : typeof pattern === 'string'
      ? Array.from(pattern, (letter) => nemotronTypes[letter])
      : undefined;
  return types === undefined ? {} : { layer_types: types, num_hidden_layers: types.length };
}

const nemotronMixer = stateSpaceNames('mamba_num_heads', 'mamba_head_dim', 'ssm_state_size');

function stateSpaceNames(heads: string, headDim: string, stateSize: string): SizeNames {
  return {
    heads,
    headDim,
    stateSize,
    groups: 'n_groups',
    kernel: 'conv_kernel',
    bias: 'use_bias',
    convolutionBias: 'use_conv_bias',
  };
}

/** Names below `mixer` for all kinds of sublayers. */
const nemotron = {
  ...base,
  embeddingAndHead: {
    prefixes: ['model.', 'backbone.'],
    embedding: 'embeddings',
    finalNorm: 'norm_f',
    blocks: 'layers',
  },
  attention: {
    wiring: preNorm('norm'),
    queryKeyValue: ['mixer.q_proj', 'mixer.k_proj', 'mixer.v_proj'],
    output: 'mixer.o_proj',
  },
  feedforward: {
    wiring: preNorm('norm'),
    gateUp: ['mixer.up_proj'],
    down: 'mixer.down_proj',
  },
  rotary: 'none',
} as const;

/** Families with Mamba-2 (arXiv 2405.21060). */
export const stateSpaceFamilies: readonly Architecture[] = [
  derive(base, 'bamba', {
    defaults: {
      num_key_value_heads: 8,
      rms_norm_eps: 1e-5,
      max_position_embeddings: 262_144,
    },
    computed: ({ num_hidden_layers: blocks, attn_layer_indices: full, ...config }) => ({
      partial_rotary_factor: 0.5,
      // Granite's factors, as GGUF files have them.
      attention_multiplier:
        (optionalNumber(config, 'hidden_size', 4096) /
          optionalNumber(config, 'num_attention_heads', 32)) **
        -0.5,
      layer_types: Array.from({ length: Number(blocks ?? 0) }, (_, block) =>
        Array.isArray(full) && full.includes(block) ? 'full_attention' : 'linear_attention',
      ),
    }),
    pruned: ({ attn_layer_indices: full }, blocks) =>
      Array.isArray(full) ? { attn_layer_indices: renumberedList(full, blocks) } : {},
    embeddingAndHead: mambaEmbeddingAndHead,
    feedforward: mambaFeedforward,
    biases: configuredBiases,
    mixer: mamba,
    parts: mixedByType(),
  }),
  derive(base, named('granitemoehybrid', 'GraniteMoeHybrid'), {
    names: { num_experts: 'num_local_experts' },
    lists: { layer_types: () => 'linear_attention' },
    computed: (config) =>
      hasExperts(config)
        ? {}
        : {
            num_experts: 1,
            num_experts_per_tok: 1,
            intermediate_size: optionalNumber(config, 'shared_intermediate_size', 1024),
          },
    feedforward: graniteWithShared,
    biases: attentionBiases,
    scales: graniteScales,
    mixer: mamba,
    experts: graniteHybridExperts,
    parts: mixedByType(graniteHybridExperts),
    form: (config) => ({
      rotary: config['position_embedding_type'] === 'rope' ? 'shared' : 'none',
      ...(hasExperts(config)
        ? {}
        : { feedforward: { ...graniteShared, wiring: feedforward.wiring } }),
    }),
  }),
  derive(base, named('falcon_h1', 'FalconH1'), {
    otherModules: say`transformers assigns the factors of falcon_h1 models only in its own class.`,
    defaults: {
      num_key_value_heads: 8,
      rms_norm_eps: 1e-5,
      max_position_embeddings: 8192,
    },
    // Scales of the attention input don't apply to biases.
    only: () => ({ attention_bias: false }),
    embeddingAndHead: mambaEmbeddingAndHead,
    attention: {
      ...attention,
      wiring: scaled(attention.wiring, (config) => ({
        branch:
          optionalNumber(config, 'attention_in_multiplier', 1) *
          optionalNumber(config, 'attention_out_multiplier', 1),
      })),
    },
    feedforward: {
      ...mambaFeedforward,
      wiring: scaled(mambaFeedforward.wiring, (config) => ({
        branch: numbersIn(config, 'mlp_multipliers')[1] ?? 1,
      })),
      parts: { gateScale: (config) => numbersIn(config, 'mlp_multipliers')[0] ?? 1 },
    },
    biases: configuredBiases,
    scales: falconScales,
    mixer: { ...mamba, wiring: parallelBranch(mamba.wiring), form: falconForm },
    parts: () => ['attention', 'mixer', 'feedforward'],
  }),
  derive(nemotron, named('nemotron_h', 'NemotronH'), {
    names: {
      rms_norm_eps: 'layer_norm_epsilon',
      hidden_act: 'mlp_hidden_act',
      num_experts: 'n_routed_experts',
    },
    defaults: {
      num_key_value_heads: 8,
      head_dim: 128,
      intermediate_size: 21_504,
      hidden_act: 'relu2',
      use_bias: false,
      rms_norm_eps: 1e-5,
      max_position_embeddings: 4096,
      num_experts: 8,
      num_experts_per_tok: 2,
      moe_intermediate_size: 7688,
      norm_topk_prob: true,
    },
    computed: nemotronBlocks,
    only: () => ({ moe_latent_size: null }),
    pruned: ({ hybrid_override_pattern: pattern }, blocks) =>
      typeof pattern === 'string'
        ? { hybrid_override_pattern: blocks.map((block) => pattern[block] ?? '').join('') }
        : {},
    biases: (config) => ({
      ...attentionBiases(config),
      feedforward: config.mlp_bias,
    }),
    mixer: {
      wiring: preNorm('norm'),
      module: 'mixer',
      form: (config) => ({
        ...readStateSpace(config, nemotronMixer, [128, 64, 128, 8]),
        activation: optionalString(config, 'mamba_hidden_act', 'silu'),
        stepLimits: [optionalNumber(config, 'time_step_min', 0.001), Number.POSITIVE_INFINITY],
      }),
    },
    experts: {
      modules: ['mixer'],
      router: 'gate',
      choiceBias: 'gate.e_score_correction_bias',
      gateUp: ['up_proj'],
      down: 'down_proj',
      inner: ({ moe_intermediate_size: inner }) => inner,
      routing: (config) => ({
        score: 'sigmoid',
        normalized: config.norm_topk_prob,
        shareScale: config.routed_scaling_factor,
        groups:
          (config.n_group ?? 1) > 1
            ? { count: config.n_group ?? 1, chosen: config.topk_group ?? 1, best: 2 }
            : undefined,
      }),
      shared: (config) => ({
        gateUp: ['mixer.shared_experts.up_proj'],
        down: 'mixer.shared_experts.down_proj',
        inner: optionalNumber(config, 'moe_shared_expert_intermediate_size', 7688),
      }),
      isSparse: (config, block) => nemotronKinds(config)[block] === 'expert',
    },
    parts: (config, block) => [nemotronKinds(config)[block] ?? 'mixer'],
  }),
  derive(nemotron, 'mamba2', {
    embeddingAndHead: { ...nemotron.embeddingAndHead, prefixes: ['backbone.', 'model.'] },
    names: { rms_norm_eps: 'layer_norm_epsilon' },
    defaults: { rms_norm_eps: 1e-5, use_bias: false },
    // No block has attention or an MLP.
    computed: () => ({ num_attention_heads: 1, num_key_value_heads: 1, intermediate_size: 1 }),
    mixer: {
      wiring: preNorm('norm'),
      module: 'mixer',
      form: (config) =>
        readStateSpace(
          config,
          stateSpaceNames('num_heads', 'head_dim', 'state_size'),
          [128, 64, 128, 8],
        ),
    },
    parts: () => ['mixer'],
  }),
];

function nemotronKinds(config: ConfigFields): (PartKind | undefined)[] {
  const { layer_types: types = nemotronBlocks(config)['layer_types'] } = config;
  return (Array.isArray(types) ? types : []).map((type) => partKinds[String(type)]);
}
