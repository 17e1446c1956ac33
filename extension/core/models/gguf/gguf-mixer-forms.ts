import { findPeriod } from '../families/mixtures/mixer-pieces';
import { optionalNumber } from '../families/shared-parts';
import type { Period } from '../families/mixtures/mixer-pieces';
import type { DeltaNames } from '../parts/mixers/delta-rule';
import type { MixerForm } from '../parts/mixers/mixer-form';
import type { SelectiveScanNames } from '../parts/mixers/selective-scan';
import type { StateSpaceNames } from '../parts/mixers/state-space';
import type { ConfigFields, ModelConfig } from '../transformer/model-config';
import type { GgufSource } from './gguf-traits';
import { say } from '../../message';

const gatedDelta = {
  inputs: 'separate',
  queryKeyValue: ['attn_qkv'],
  gate: ['attn_gate'],
  convolutions: ['ssm_conv1d'],
  decayFactors: 'ssm_a',
  decayBiases: 'ssm_dt.bias',
  norm: 'ssm_norm',
  output: 'ssm_out',
} as const;

/** The gated delta rule as llama.cpp stores it (conversion/qwen.py, src/models/qwen35.cpp). */
export function asGatedDelta(known: MixerForm): MixerForm {
  return known.kind === 'delta-rule'
    ? {
        ...known,
        names: { ...gatedDelta, rate: 'ssm_beta', decay: ['ssm_alpha'] },
        takesTurns: true,
        storesFactors: true,
      }
    : known;
}

/** Field set by {@link describeGroupedDelta}. */
const joinsInputs = 'gguf_joins_inputs';

/**
 * Sets the field if a Qwen3-Next file has query, key, value and gate in one tensor, as the first
 * conversions wrote it.
 */
export const describeGroupedDelta = ({
  tensors,
}: {
  readonly tensors: ReadonlyMap<string, unknown>;
}): Readonly<Record<string, unknown>> => ({
  [joinsInputs]: [...tensors.keys()].some((name) => name.endsWith('.ssm_in.weight')),
});

/** Like the above for Qwen3-Next, whose heads stay in folder order (src/models/qwen3next.cpp). */
export function asGroupedDelta(known: MixerForm, config: ModelConfig): MixerForm {
  if (known.kind !== 'delta-rule') {
    return known;
  }
  const { decayFactors, decayBiases, norm, output } = gatedDelta;
  const names: DeltaNames =
    config[joinsInputs] === true
      ? {
          inputs: 'by-head',
          queryKeyValueGate: 'ssm_in',
          rateDecay: 'ssm_ba',
          convolution: 'ssm_conv1d',
          ...{ decayFactors, decayBiases, norm, output },
        }
      : { ...gatedDelta, rateDecay: 'ssm_ba' };
  return { ...known, names, storesFactors: true };
}

const byPart = ['q', 'k', 'v'] as const;

/** The delta rule of Kimi Linear, with decays for each key dimension (conversion/kimi_linear.py). */
export function asKimiDelta(known: MixerForm): MixerForm {
  return known.kind === 'delta-rule'
    ? {
        ...known,
        names: {
          inputs: 'separate',
          queryKeyValue: byPart.map((part) => `attn_${part}`),
          gate: ['ssm_g_a', 'ssm_g_b'],
          gateActivation: 'sigmoid',
          rate: 'ssm_beta',
          decay: ['ssm_f_a', 'ssm_f_b'],
          convolutions: byPart.map((part) => `ssm_conv1d_${part}`),
          decayFactors: 'ssm_a',
          decayBiases: 'ssm_dt.bias',
          norm: 'ssm_norm',
          output: 'attn_output',
        },
        storesFactors: true,
      }
    : known;
}

/** Keys of the sizes of Mamba and Mamba-2, by config field. */
export const scanFields = {
  ssm_width: 'ssm.inner_size',
  ssm_rank: 'ssm.time_step_rank',
  ssm_state: 'ssm.state_size',
  ssm_groups: 'ssm.group_count',
  ssm_kernel: 'ssm.conv_kernel',
  ssm_norms: 'ssm.dt_b_c_rms',
} as const;

const sizeIn = (config: ModelConfig, field: keyof typeof scanFields): number =>
  optionalNumber(config, field, 1);

const stateSpaceNames: StateSpaceNames = {
  input: 'ssm_in',
  output: 'ssm_out',
  convolution: 'ssm_conv1d',
  norm: 'ssm_norm',
  factors: 'ssm_a',
  biases: 'ssm_dt.bias',
  skips: 'ssm_d',
};

/**
 * Mamba-2 as llama.cpp stores and computes it (conversion/mamba.py, src/models/mamba-base.cpp): no
 * clamp on the step size, the norm after the gate, and the family's other factors multiplied into
 * its weights.
 */
export function asStateSpace(known: MixerForm, config: ModelConfig): MixerForm {
  if (known.kind !== 'state-space') {
    return known;
  }
  const width = sizeIn(config, 'ssm_width');
  const heads = sizeIn(config, 'ssm_rank');
  const groups = sizeIn(config, 'ssm_groups');
  const { kind, activation, convolutionBias, normSize } = known;
  return {
    ...{ kind, activation, convolutionBias, bias: false },
    ...{ heads, headDim: width / heads, stateSize: sizeIn(config, 'ssm_state'), groups },
    kernel: sizeIn(config, 'ssm_kernel'),
    normSize: normSize === undefined ? undefined : width / groups,
    names: stateSpaceNames,
    storesFactors: true,
  };
}

const selectiveScanNames: SelectiveScanNames = {
  input: 'ssm_in',
  state: 'ssm_x',
  step: 'ssm_dt',
  output: 'ssm_out',
  convolution: 'ssm_conv1d',
  factors: 'ssm_a',
  skips: 'ssm_d',
  norms: ['ssm_dt_norm', 'ssm_b_norm', 'ssm_c_norm'],
};

/** Mamba, and Falcon Mamba with its norms of step, B and C, which have the epsilon of the others. */
export function asSelectiveScan(known: MixerForm, config: ModelConfig): MixerForm {
  return known.kind === 'selective-scan'
    ? {
        ...known,
        width: sizeIn(config, 'ssm_width'),
        stateSize: sizeIn(config, 'ssm_state'),
        stepRank: sizeIn(config, 'ssm_rank'),
        kernel: sizeIn(config, 'ssm_kernel'),
        ...(config['ssm_norms'] === true ? { innerNorms: { epsilon: config.rms_norm_eps } } : {}),
        names: selectiveScanNames,
        storesFactors: true,
      }
    : known;
}

/** The periods by which a folder of Jamba says which blocks have attention, and which have experts. */
export function describePeriods({
  keys,
  tensors,
  types,
}: GgufSource): Readonly<Record<string, number>> {
  const blockPeriod = (is: (block: number) => boolean): Period =>
    findPeriod(
      types.map((_, block) => is(block)),
      { period: 1, offset: 1 },
    ) ??
    keys.fault(
      keys.name('block_count'),
      'gguf-blocks-not-periodic',
      say`Its blocks with attention or experts are not periodic.`,
      say`Use the Hugging Face folder of the model.`,
    );
  const full = blockPeriod((block) => types[block] === 'full_attention');
  const sparse = blockPeriod((block) => tensors.has(`blk.${block}.ffn_gate_inp.weight`));
  return {
    attn_layer_period: full.period,
    attn_layer_offset: full.offset,
    expert_layer_period: sparse.period,
    expert_layer_offset: sparse.offset,
  };
}

/** Factors of Falcon-H1 that the conversion multiplies weights with (conversion/falcon_h1.py). */
export function falconFactors(config: ModelConfig): Readonly<Record<string, number>> {
  const { mlp_multipliers: inner }: ConfigFields = config;
  const [gate = 1, down = 1] = Array.isArray(inner) ? (inner as readonly number[]) : [];
  const factor = (field: string): number => optionalNumber(config, field, 1);
  const into = factor('attention_in_multiplier');
  return {
    token_embd: config.embedding_multiplier,
    output: factor('lm_head_multiplier'),
    attn_q: into,
    attn_k: into * factor('key_multiplier'),
    attn_v: into,
    attn_output: factor('attention_out_multiplier'),
    ffn_gate: gate,
    ffn_down: down,
  };
}
