import type { Refusal } from '../../models/capability';
import type { ModelConfig } from '../../models/transformer/model-config';
import type { Changes } from '../changes';
import { rewriteConfig } from './pruned-config';
import type { CheckpointSource } from './checkpoint-source';
import { say } from '../../message';

/** Loaders round sizes of MLPs up to a multiple of this. */
const sizeStep = 256;

/**
 * Explains why `block_configs` of nemotron-nas (DeciLM), a Llama in which blocks may lack attention or MLP, can't
 * express a removal, with a fix.
 */
export function explainDeciUnsupported(
  { model, family }: CheckpointSource,
  changes: Changes,
): Refusal | undefined {
  const { architecture, quantization } = model.summary;
  const remedy = say`Choose auto-map.`;
  if (Object.keys(changes.patched).length > 0) {
    return {
      code: 'patches-not-expressible',
      reason: say`nemotron-nas models can't store graph modules.`,
      remedy,
    };
  }
  if (Object.keys(changes.compressed).length > 0) {
    return {
      code: 'matrices-not-expressible',
      reason: say`nemotron-nas models can't store compressed layers.`,
      remedy,
    };
  }
  if (family.kind !== 'decoder' || !/^(?:espalier-)?llama$|^nemotron-nas$/.test(architecture)) {
    return {
      code: 'family-not-known',
      reason: say`nemotron-nas models are shaped like llama, not ${architecture}.`,
      remedy,
    };
  }
  if (quantization !== undefined) {
    return {
      code: 'family-not-known',
      reason: say`There are no quantized nemotron-nas models.`,
      remedy,
    };
  }
  const { config } = family;
  const { hidden_size: hidden, num_attention_heads: heads, intermediate_size: inner } = config;
  if (config.attention_bias || config.mlp_bias) {
    return {
      code: 'biases-not-expressible',
      reason: say`nemotron-nas models have no biases.`,
      remedy,
    };
  }
  if (
    config.head_dim !== undefined &&
    config.head_dim !== null &&
    config.head_dim !== hidden / heads
  ) {
    return {
      code: 'head-size-not-expressible',
      reason: say`nemotron-nas models divide the hidden size among the heads: ${hidden} / ${heads} is not ${config.head_dim}.`,
      remedy,
    };
  }
  const widthPruned = Object.keys(changes.widths).find((id) => id.endsWith('.attention'));
  if (widthPruned !== undefined) {
    return {
      code: 'uneven-widths',
      reason: say`All attention layers of a nemotron-nas model have the same number of query heads, but ${widthPruned} has fewer.`,
      remedy,
    };
  }
  const odd = [inner, ...Object.values(changes.widths)].find((size) => size % sizeStep !== 0);
  if (odd !== undefined) {
    return {
      code: 'size-not-multiple',
      reason: say`The MLP size of a nemotron-nas model is a multiple of ${sizeStep}, not ${odd}.`,
      remedy,
    };
  }
  if (changes.absent.includes('block.0.attention')) {
    return {
      code: 'single-sublayers',
      reason: say`vLLM and SGLang fail on nemotron-nas models whose first block has no attention.`,
      remedy: say`Keep block.0.attention (--protect), remove all of block 0, or choose auto-map.`,
    };
  }
  return undefined;
}

/** Name of the Python module written next to nemotron-nas models, and of its class. */
export const configurationModule = 'configuration_espalier';
const deciConfigClass = 'EspalierDeciConfig';

/** The text of configuration_espalier.py. vLLM and SGLang have the model, but leave its configuration to the folder. */
export const deciConfiguration = `# Written by Espalier. SPDX-License-Identifier: MIT
"""Configuration of nemotron-nas (DeciLM) models: that of a Llama, and what each block has."""

from transformers import LlamaConfig


class Fields(dict):
    """Fields of a JSON object as attributes, which is how models read \`block_configs\`."""

    def __getattr__(self, name):
        if name not in self:
            raise AttributeError(name)
        return self[name]


class ${deciConfigClass}(LlamaConfig):
    model_type = "nemotron-nas"

    def __init__(self, block_configs=(), num_attention_heads=32, num_key_value_heads=None, intermediate_size=None, **fields):
        blocks = [Fields({name: Fields(part) for name, part in block.items()}) for block in block_configs]
        groups = [block.attention.n_heads_in_group for block in blocks if not block.attention.no_op]
        shared = {"num_attention_heads": num_attention_heads, "num_key_value_heads": num_attention_heads // (groups or [1])[0]}
        super().__init__(**shared, **fields)
        self.block_configs = blocks
`;

/** The config.json of the pruned model as a nemotron-nas model. */
export function deciConfig(source: CheckpointSource, changes: Changes): string {
  const { family } = source;
  if (family.kind !== 'decoder') {
    throw new Error('a refusal comes before');
  }
  const ordinary = { ...changes, absent: [], compressed: {}, widths: {} };
  const plain = JSON.parse(rewriteConfig(source, ordinary)) as Json;
  const { config } = family;
  const absent = new Set(changes.absent);
  const block_configs = changes.blocks.map((_, block) => ({
    attention: attentionConfig(config, absent.has(`block.${block}.attention`)),
    ffn: feedforwardConfig(
      config.hidden_size,
      changes.widths[`block.${block}.feedforward`] ?? config.intermediate_size,
      absent.has(`block.${block}.feedforward`),
    ),
  }));
  return `${JSON.stringify(
    {
      ...plain,
      model_type: 'nemotron-nas',
      architectures: ['DeciLMForCausalLM'],
      auto_map: { AutoConfig: `${configurationModule}.${deciConfigClass}` },
      espalier: undefined,
      intermediate_size: null,
      num_key_value_heads: null,
      ...olderRotary(plain),
      block_configs,
    },
    null,
    2,
  )}\n`;
}

type Json = Record<string, unknown>;

function attentionConfig(config: ModelConfig, no_op: boolean): Json {
  const group =
    config.num_attention_heads / (config.num_key_value_heads ?? config.num_attention_heads);
  return {
    n_heads_in_group: no_op ? null : group,
    no_op,
    num_sink_tokens: null,
    replace_with_linear: false,
    sparsify: null,
    unshifted_sink: false,
    use_prefill_window_in_sink_attention: false,
    window_length: null,
  };
}

/** Loaders take ⌊2/3 · ffn_mult · hidden⌋ up to the next multiple: aim half a step below. */
function feedforwardConfig(hiddenSize: number, size: number, no_op: boolean): Json {
  const aim = size - sizeStep / 2;
  const ffn_mult = Number(((1.5 * aim) / hiddenSize).toFixed(6));
  return { ffn_mult: no_op ? null : ffn_mult, no_op, replace_with_linear: false, sparsify: null };
}

/** Their loaders read the rotary settings from the fields of transformers 4. */
function olderRotary({ rope_parameters: rotary }: Json): Json {
  if (typeof rotary !== 'object' || rotary === null) {
    return {};
  }
  const { rope_theta, ...scaling } = rotary as Json;
  const isPlain = scaling['rope_type'] === undefined || scaling['rope_type'] === 'default';
  return {
    ...(rope_theta === undefined ? {} : { rope_theta }),
    rope_scaling: isPlain ? null : scaling,
  };
}
