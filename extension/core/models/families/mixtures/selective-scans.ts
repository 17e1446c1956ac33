import type { Architecture, ExpertNames } from '../../transformer/architecture';
import { derive, named } from '../../transformer/derive';
import type { ConfigFields, ModelConfig } from '../../transformer/model-config';
import type { SelectiveScan } from '../../parts/mixers/selective-scan';
import { mixedByType, findPeriod } from './mixer-pieces';
import type { Period } from './mixer-pieces';
import { optionalNumber, attention, base } from '../shared-parts';
import { preNorm } from '../../modules/wiring-names';

/** "auto" is a sixteenth of the hidden size. */
const stepRankIn = (config: ModelConfig, field: string): number =>
  optionalNumber(config, field, Math.ceil(config.hidden_size / 16));

function mambaForm(config: ModelConfig): SelectiveScan {
  const expanded = optionalNumber(config, 'expand', 2) * config.hidden_size;
  return {
    kind: 'selective-scan',
    width: optionalNumber(config, 'width', expanded),
    stateSize: optionalNumber(config, 'state_size', 16),
    stepRank: stepRankIn(config, 'time_step_rank'),
    kernel: optionalNumber(config, 'conv_kernel', 4),
    activation: config.hidden_act,
    bias: config.use_bias,
    convolutionBias: config['use_conv_bias'] !== false,
  };
}

const mamba = {
  ...base,
  embeddingAndHead: {
    prefixes: ['backbone.'],
    embedding: 'embeddings',
    finalNorm: 'norm_f',
    blocks: 'layers',
  },
  attention: { ...attention, wiring: preNorm('norm') },
  feedforward: { ...base.feedforward, wiring: preNorm('norm') },
  rotary: 'none',
  config: {
    names: { rms_norm_eps: 'layer_norm_epsilon' },
    defaults: () => ({ rms_norm_eps: 1e-5, tie_word_embeddings: true, use_bias: false }),
    // No block has attention or an MLP, whose sizes would be these.
    computed: ({ intermediate_size: width }: ConfigFields) => ({
      num_attention_heads: 1,
      intermediate_size: 1,
      width,
    }),
  },
  mixer: { wiring: preNorm('norm'), module: 'mixer', form: mambaForm },
  parts: () => ['mixer'] as const,
} as const;

const attends = (config: ConfigFields): Period => ({
  period: optionalNumber(config, 'attn_layer_period', 8),
  offset: optionalNumber(config, 'attn_layer_offset', 4),
});
const mixes = (config: ConfigFields): Period => ({
  period: optionalNumber(config, 'expert_layer_period', 2),
  offset: optionalNumber(config, 'expert_layer_offset', 1),
});
const isMeant = ({ period, offset }: Period, block: number): boolean => block % period === offset;

const jambaExperts: ExpertNames = {
  modules: ['feed_forward'],
  router: 'router',
  gateUp: ['gate_proj', 'up_proj'],
  down: 'down_proj',
  inner: ({ intermediate_size: inner }) => inner,
  routing: () => ({ normalized: false }),
  isSparse: (config, block) =>
    optionalNumber(config, 'num_experts', 16) > 1 && isMeant(mixes(config), block),
};

function jambaPeriods(config: ConfigFields, blocks: readonly number[]): ConfigFields | undefined {
  const remainingPeriod = (given: Period): Period | undefined =>
    findPeriod(
      blocks.map((block) => isMeant(given, block)),
      given,
    );
  const full = remainingPeriod(attends(config));
  const sparse = remainingPeriod(mixes(config));
  return full === undefined || sparse === undefined
    ? undefined
    : {
        attn_layer_period: full.period,
        attn_layer_offset: full.offset,
        expert_layer_period: sparse.period,
        expert_layer_offset: sparse.offset,
      };
}

/** Families with Mamba (arXiv 2312.00752). */
export const selectiveScanFamilies: readonly Architecture[] = [
  { ...mamba, modelType: 'mamba' },
  derive(mamba, named('falcon_mamba', 'FalconMamba'), {
    mixer: {
      ...mamba.mixer,
      form: (config) => ({
        ...mambaForm(config),
        innerNorms: { epsilon: optionalNumber(config, 'mixer_rms_eps', 1e-6) },
      }),
    },
  }),
  derive(base, 'jamba', {
    defaults: {
      num_key_value_heads: 8,
      max_position_embeddings: 262_144,
      num_experts: 16,
      num_experts_per_tok: 2,
    },
    computed: (config) => ({
      layer_types: Array.from({ length: Number(config['num_hidden_layers'] ?? 0) }, (_, block) =>
        isMeant(attends(config), block) ? 'full_attention' : 'linear_attention',
      ),
    }),
    pruned: jambaPeriods,
    embeddingAndHead: { ...base.embeddingAndHead, finalNorm: 'final_layernorm' },
    feedforward: {
      wiring: preNorm('pre_ff_layernorm'),
      gateUp: ['feed_forward.gate_proj', 'feed_forward.up_proj'],
      down: 'feed_forward.down_proj',
    },
    rotary: 'none',
    mixer: {
      wiring: attention.wiring,
      module: 'mamba',
      form: (config) => ({
        kind: 'selective-scan',
        width: optionalNumber(config, 'mamba_expand', 2) * config.hidden_size,
        stateSize: optionalNumber(config, 'mamba_d_state', 16),
        stepRank: stepRankIn(config, 'mamba_dt_rank'),
        kernel: optionalNumber(config, 'mamba_d_conv', 4),
        activation: config.hidden_act,
        bias: config['mamba_proj_bias'] === true,
        convolutionBias: config['mamba_conv_bias'] !== false,
        innerNorms: 'weighted',
      }),
    },
    experts: jambaExperts,
    parts: mixedByType(jambaExperts),
  }),
];
