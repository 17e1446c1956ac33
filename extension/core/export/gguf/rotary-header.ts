import { rotarySections } from '../../models/gguf/gguf-fields';
import { frequencyFactors, lengthFactors } from '../../models/gguf/gguf-rotary';
import { layerTypeConfig, readRotary, yarnScale } from '../../models/parts/rotary';
import type { Rotary } from '../../models/parts/rotary';
import type { ModelConfig, RopeConfig } from '../../models/transformer/model-config';
import { headDimension } from './folder-model';
import type { FolderModel } from './folder-model';
import type { GgufTensor } from './gguf-tensors';
import type { GgufFamily } from '../../models/gguf/gguf-traits';
import type { LlamaCppFacts } from './llama-cpp/rule';
import type { HeaderEntries } from './header-entries';

/** Family whose dynamic scaling is not written: it only concerns texts longer than `max_position_embeddings`. */
const dynamicIsOmitted = 'internlm3';

/** Forms of rotary scaling that a GGUF file of a folder's family is written with. */
export const writtenScalings = (
  {
    readsLengthFactors = false,
    hasSections = false,
    hasOwnWindowHeads = false,
    readsFactors = true,
  }: GgufFamily,
  modelType: string,
): readonly string[] => [
  ...['default', 'linear', 'yarn'],
  ...(readsFactors ? ['llama3'] : []),
  ...(hasSections ? ['mrope'] : []),
  ...(readsLengthFactors ? ['longrope', 'su'] : []),
  ...(hasOwnWindowHeads ? ['proportional'] : []),
  ...(modelType === dynamicIsOmitted ? ['dynamic'] : []),
];

/** The rotary embedding of blocks of a type. */
export function rotaryParameters(
  { config, configFile, architecture }: LlamaCppFacts,
  layerType: string,
): Rotary {
  const own = layerTypeConfig(config, layerType);
  const order = { interleaved: false, reversed: false };
  const headDim =
    architecture.latent?.(config).rotaryDim ?? headDimension({ architecture, config }, layerType);
  return readRotary(own, headDim, order, configFile);
}

const ropeConfig = (config: ModelConfig): RopeConfig =>
  config.rope_parameters ?? config.rope_scaling ?? {};
/** RoPE settings of layers with full attention. */
export const fullRope = (config: ModelConfig): RopeConfig =>
  ropeConfig(layerTypeConfig(config, 'full_attention'));

export const ropeTheta = (config: ModelConfig): number =>
  ropeConfig(config).rope_theta ?? config.rope_theta ?? 10_000;

/** `rope_type` of blocks of a type. */
export function ropeScaling(config: ModelConfig, layerType = 'full_attention'): string {
  const rope = ropeConfig(layerTypeConfig(config, layerType));
  return rope.rope_type ?? rope.type ?? 'default';
}

/** Frequency divisor that disables rotation (conversion/gemma.py). */
const unrotated = 1e30;

/** Default multiplier of the logarithm of YaRN's factor. */
const defaultLogarithm = 0.1;

export function rotaryEntries(entries: HeaderEntries, model: FolderModel): void {
  const { config, architecture, target } = model;
  const { hasSections = false, windows } = target.family;
  if (architecture.rotary === 'none') {
    return;
  }
  const rotary = rotaryParameters(model, 'full_attention');
  const rope = fullRope(config);
  entries.integer('rope.dimension_count', rotary.dimensions);
  if (windows?.ownShare === true) {
    const { dimensions } = rotaryParameters(model, 'sliding_attention');
    entries.integer('rope.dimension_count_swa', dimensions);
  }
  entries.float('rope.freq_base', ropeTheta(layerTypeConfig(config, 'full_attention')));
  const growth = architecture.queryGrowth?.(config);
  if (growth !== undefined) {
    entries.float('attention.temperature_scale', growth.scale);
    if (architecture.latent !== undefined) {
      entries.integer('attention.temperature_length', growth.period);
    }
  }
  if (hasSections) {
    entries.integers(rotarySections, [...(rope.mrope_section ?? [rotary.dimensions / 2, 0, 0]), 0]);
  }
  const original =
    config.original_max_position_embeddings ??
    rope.original_max_position_embeddings ??
    config.max_position_embeddings;
  switch (ropeScaling(config)) {
    case 'linear':
      entries.text('rope.scaling.type', 'linear');
      entries.floatIfPresent('rope.scaling.factor', rope.factor);
      break;
    case 'yarn':
      entries.text('rope.scaling.type', 'yarn');
      entries.integer('rope.scaling.original_context_length', original);
      yarnEntries(entries, model, rotary, rope.factor ?? config.max_position_embeddings / original);
      break;
    case 'longrope':
    case 'su':
      entries.integer('rope.scaling.original_context_length', original);
      entries.float('rope.scaling.attn_factor', rotary.attentionFactor);
  }
}

/** llama.cpp multiplies its own scale for the factor by the scale in the file (src/llama-context.cpp). */
function yarnEntries(
  entries: HeaderEntries,
  { config, architecture }: FolderModel,
  { attentionFactor }: Rotary,
  factor: number,
): void {
  const { beta_fast: fast, beta_slow: slow, mscale_all_dim: mscale } = fullRope(config);
  entries.float('rope.scaling.factor', factor);
  entries.floatIfPresent('rope.scaling.yarn_beta_fast', fast);
  entries.floatIfPresent('rope.scaling.yarn_beta_slow', slow);
  if (attentionFactor === 1 && mscale) {
    const isLatent = architecture.latent !== undefined;
    entries.float(
      'rope.scaling.yarn_log_multiplier',
      isLatent ? defaultLogarithm * mscale : mscale,
    );
  } else if (attentionFactor !== yarnScale(factor)) {
    entries.float('rope.scaling.attn_factor', attentionFactor / yarnScale(factor));
  }
}

/**
 * Divisors of the rotary frequencies that are equivalent to Llama 3's scaling, or LongRoPE's two
 * tables; empty for other models.
 */
export function frequencyTensors(model: FolderModel): GgufTensor[] {
  const { config, architecture } = model;
  const scaled = ['llama3', 'longrope', 'su', 'proportional'];
  if (architecture.rotary === 'none' || !scaled.includes(ropeScaling(config))) {
    return [];
  }
  const { dimensions, frequencies } = rotaryParameters(model, 'full_attention');
  const theta = ropeTheta(layerTypeConfig(config, 'full_attention'));
  const table = (name: string, scaled: readonly number[]): GgufTensor => {
    const factors = Float32Array.from(
      scaled,
      // A large divisor leaves a dimension unrotated.
      (frequency, i) =>
        frequency === 0 ? unrotated : theta ** ((-2 * i) / dimensions) / frequency,
    );
    const bytes = new Uint8Array(factors.buffer);
    const { length } = bytes;
    const shape = [factors.length];
    return { name, shape, type: 'F32', length, source: { kind: 'given', bytes } };
  };
  const [short, long] = lengthFactors;
  switch (frequencies.kind) {
    case 'fixed':
      return [table(frequencyFactors, frequencies.inverse)];
    case 'by-length':
      return [table(long, frequencies.long), table(short, frequencies.short)];
    case 'dynamic':
      return [];
  }
}
