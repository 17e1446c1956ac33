/** Name of the Python module that is written beside models of which single sublayers are gone. */
export const modellingModule = 'modeling_espalier';

/** Python classes for one family. */
export interface ModellingClasses {
  readonly stockConfig: string;
  readonly stockModel: string;
  readonly config: string;
  readonly model: string;
}

/** transformers names its classes after `model_type`: `qwen2` has `Qwen2Config`. */
export function modellingClasses(modelType: string): ModellingClasses {
  const family = modelType.charAt(0).toUpperCase() + modelType.slice(1);
  return {
    stockConfig: `${family}Config`,
    stockModel: `${family}ForCausalLM`,
    config: `Espalier${family}Config`,
    model: `Espalier${family}ForCausalLM`,
  };
}

/**
 * The text of modeling_espalier.py: the stock model of the family with the removed sublayers taken
 * out. Key/value caches are counted over the attention sublayers that remain, since transformers
 * asks cache 0 for the length and the first cache of a kind for the mask's size.
 */
export function modellingFile(modelType: string): string {
  const { stockConfig, stockModel, config, model } = modellingClasses(modelType);
  return `# Written by Espalier, which has removed single sublayers of this model. SPDX-License-Identifier: MIT
"""${modelType} without the attention and feed-forward sublayers that \`espalier.removed\` of config.json lists."""

import copy

from torch import nn
from transformers import ${stockConfig}, ${stockModel}


class ${config}(${stockConfig}):
    model_type = "espalier-${modelType}"

    def lacks(self, block, kind):
        removed = (getattr(self, "espalier", None) or {}).get("removed", [])
        return f"block.{block}.{kind}" in removed

    def get_text_config(self, decoder=None, **kwargs):
        """Caches are made from the decoder's config: one for each attention sublayer that remains."""
        if not decoder:
            return super().get_text_config(decoder=decoder, **kwargs)
        blocks = [b for b in range(self.num_hidden_layers) if not self.lacks(b, "attention")]
        if len(blocks) == self.num_hidden_layers:
            return self
        caches = copy.copy(self)
        caches.espalier = None
        caches.num_hidden_layers = len(blocks)
        if getattr(self, "layer_types", None) is not None:
            caches.layer_types = [self.layer_types[b] for b in blocks]
        return caches


class NoAttention(nn.Module):
    def forward(self, hidden_states, *args, **kwargs):
        return hidden_states.new_zeros(()), None


class NoFeedforward(nn.Module):
    def forward(self, hidden_states):
        return hidden_states.new_zeros(())


class ${model}(${stockModel}):
    config_class = ${config}
    config: ${config}

    def __init__(self, config):
        super().__init__(config)
        caches = 0
        for block, layer in enumerate(self.model.layers):
            if config.lacks(block, "attention"):
                layer.input_layernorm = nn.Identity()
                layer.self_attn = NoAttention()
            else:
                layer.self_attn.layer_idx = caches
                caches += 1
            if config.lacks(block, "feedforward"):
                layer.post_attention_layernorm = nn.Identity()
                layer.mlp = NoFeedforward()
`;
}
