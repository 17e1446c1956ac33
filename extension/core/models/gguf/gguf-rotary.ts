import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { readFloats } from '../../checkpoints/read-tensor';
import { yarnScale } from '../parts/rotary';
import type { GgufFamily, GgufTraits } from './gguf-traits';
import type { GgufKeys } from './gguf-keys';
import { say } from '../../message';

/** Divisors of the rotary frequencies, one per pair of dimensions. */
export const frequencyFactors = 'rope_freqs.weight';
/** Frequency factors for short and long texts. */
export const lengthFactors = ['rope_factors_short.weight', 'rope_factors_long.weight'] as const;
/** Tensors with factors of rotary frequencies. */
export const rotaryTables: readonly string[] = [frequencyFactors, ...lengthFactors];
const maxFrequencies = 1 << 15;
const defaultBase = 10_000;
/** Growth of YaRN's attention scale with the logarithm of the factor. */
const defaultLogarithm = 0.1;

/** `rope_parameters` of config.json. */
export async function describeRotary(
  keys: GgufKeys,
  headDim: number,
  tensors: ReadonlyMap<string, LazyTensor>,
  { windows, roundsYarn = true, isLatent = false }: GgufTraits,
): Promise<Record<string, unknown>> {
  const dimensions = keys.numberIfPresent('rope.dimension_count') ?? headDim;
  if (dimensions < 2 || dimensions % 2 !== 0 || dimensions > headDim) {
    keys.fault(
      keys.name('rope.dimension_count'),
      'rotary-size-invalid',
      say`${dimensions} dimensions of heads of ${headDim} cannot be rotated in pairs.`,
    );
  }
  const shared = { partial_rotary_factor: dimensions / headDim };
  for (const { name, shape } of rotaryTables.flatMap((table) => tensors.get(table) ?? [])) {
    if (shape.join() !== String(dimensions / 2)) {
      keys.fault(
        name,
        'gguf-rotary-factors-mismatch',
        say`It should have ${dimensions / 2} numbers, one for each pair.`,
      );
    }
  }
  const full = {
    ...shared,
    rope_theta: keys.numberIfPresent('rope.freq_base') ?? defaultBase,
    ...(await describeScaling(keys, tensors, roundsYarn)),
    ...describeYarnScale(keys, isLatent),
    llama_4_scaling_beta: keys.numberIfPresent('attention.temperature_scale'),
  };
  switch (windows?.ownRotary ?? false) {
    case true:
      return {
        full_attention: full,
        sliding_attention: {
          ...windowedShare(keys, headDim, shared),
          rope_theta: keys.numberIfPresent('rope.freq_base_swa') ?? defaultBase,
        },
      };
    case 'unscaled':
      return {
        full_attention: full,
        sliding_attention: { ...shared, rope_theta: full.rope_theta },
      };
    case false:
      return full;
  }
}

/** Rotated share of sliding-window blocks, whose heads may have another dimension. */
function windowedShare(
  keys: GgufKeys,
  usual: number,
  full: { readonly partial_rotary_factor: number },
): typeof full {
  const headDim = keys.numberIfPresent('attention.key_length_swa');
  const dimensions = keys.numberIfPresent('rope.dimension_count_swa') ?? headDim;
  return dimensions === undefined
    ? full
    : { partial_rotary_factor: dimensions / (headDim ?? usual) };
}

/**
 * With this key, YaRN does not scale the rotated dimensions, but the attention scores of latent
 * attention (conversion/deepseek.py).
 */
function describeYarnScale(keys: GgufKeys, isLatent: boolean): Record<string, number | undefined> {
  const logarithm = keys.numberIfPresent('rope.scaling.yarn_log_multiplier');
  return logarithm === undefined
    ? {}
    : {
        attention_factor: 1,
        ...(isLatent ? { mscale_all_dim: logarithm / defaultLogarithm } : {}),
      };
}

async function describeScaling(
  keys: GgufKeys,
  tensors: ReadonlyMap<string, LazyTensor>,
  roundsYarn: boolean,
): Promise<Record<string, unknown>> {
  const original = keys.numberIfPresent('rope.scaling.original_context_length');
  const attention = keys.numberIfPresent('rope.scaling.attn_factor');
  const [short, long] = lengthFactors.map((name) => tensors.get(name));
  if (short !== undefined && long !== undefined) {
    return {
      rope_type: 'longrope',
      short_factor: await readFloats(short, maxFrequencies),
      long_factor: await readFloats(long, maxFrequencies),
      original_max_position_embeddings: original,
      attention_factor: attention ?? 1,
    };
  }
  const factors = tensors.get(frequencyFactors);
  if (factors !== undefined) {
    // Written by the conversion for scalings such as llama3; one set for all lengths.
    const table = await readFloats(factors, maxFrequencies);
    return {
      rope_type: 'longrope',
      short_factor: table,
      long_factor: table,
      attention_factor: 1,
    };
  }
  const type = keys.textIfPresent('rope.scaling.type') ?? 'linear';
  const factor =
    keys.numberIfPresent('rope.scaling.factor') ?? keys.numberIfPresent('rope.scale_linear');
  switch (type) {
    case 'none':
      return {};
    case 'linear':
      return factor === undefined || factor === 1 ? {} : { rope_type: 'linear', factor };
    case 'yarn':
      return {
        rope_type: 'yarn',
        factor,
        original_max_position_embeddings: original,
        // llama.cpp multiplies this by the value from the factor; transformers uses it instead.
        attention_factor: attention === undefined ? undefined : attention * yarnScale(factor ?? 1),
        beta_fast: keys.numberIfPresent('rope.scaling.yarn_beta_fast'),
        beta_slow: keys.numberIfPresent('rope.scaling.yarn_beta_slow'),
        truncate: roundsYarn,
      };
    default:
      return keys.fault(
        keys.name('rope.scaling.type'),
        'gguf-rotary-scaling-unsupported',
        say`Scaling "${type}" is not supported in GGUF files, only none, linear and yarn.`,
        say`Use the Hugging Face folder of the model.`,
      );
  }
}

/**
 * True if rotary pairs are adjacent rows at the start of each head in the file. The writer then
 * leaves them in place.
 */
export const rotatesAdjacentRows = (
  { interleaved }: GgufFamily,
  keys: GgufKeys,
  headDim: number,
): boolean =>
  interleaved === true && (keys.numberIfPresent('rope.dimension_count') ?? headDim) < headDim;
