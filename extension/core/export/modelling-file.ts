import { knownArchitecture } from '../models/architectures';
import type { Architecture } from '../models/architecture';

/** Name of the Python module that is written beside models of which single sublayers are gone. */
export const modellingModule = 'modeling_espalier';

/** Python classes for one family. */
export interface ModellingClasses {
  readonly stockConfig: string;
  readonly stockModel: string;
  readonly config: string;
  readonly model: string;
}

/** transformers names its classes after `model_type` (`qwen2` has `Qwen2Config`), with exceptions. */
export function modellingClasses(modelType: string): ModellingClasses {
  const family = modelType.charAt(0).toUpperCase() + modelType.slice(1);
  const { config: stockConfig, model: stockModel } = knownArchitecture(modelType)?.classes ?? {
    config: `${family}Config`,
    model: `${family}ForCausalLM`,
  };
  return {
    stockConfig,
    stockModel,
    config: `Espalier${stockConfig}`,
    model: `Espalier${stockModel}`,
  };
}

/** Modules of a decoder layer that belong to one branch. */
interface BranchModules {
  readonly norms: readonly string[];
  /** What computes the branch; the first is asked, the others pass its answer on. */
  readonly parts: readonly string[];
}

const moduleOf = (name: string): string => name.split('.')[0] ?? name;

/** Norms inside the module of the branch go with it. */
function branchModules(
  branch: { readonly norm?: string | undefined; readonly postNorm?: string },
  linears: readonly string[],
): BranchModules {
  return {
    norms: [branch.norm, branch.postNorm].filter((name) => name !== undefined),
    parts: [...new Set(linears.map(moduleOf))],
  };
}

/** A norm that both branches read stays as long as one of them does. */
function modulesOf(family: Architecture): Record<'attention' | 'feedforward', BranchModules> {
  const isShared = family.attention.norm === family.feedforward.norm;
  const norm = isShared ? { norm: undefined } : {};
  const { attention, feedforward } = family;
  const inputs = feedforward.gateUp;
  return {
    attention: branchModules({ ...attention, ...norm }, [attention.output]),
    feedforward: branchModules({ ...feedforward, ...norm }, [
      ...(inputs.kind === 'fused' ? [inputs.name] : inputs.names),
      feedforward.down,
    ]),
  };
}

/** Path of the decoder layers from the model with its head. */
function layersPath({ outer: { prefixes, blocks } }: Architecture): string {
  return `self.${prefixes[0] ?? ''}${blocks}`;
}

/** Python lines, each indented by `indent` spaces after the first. */
const lines = (texts: readonly string[], indent: number): string =>
  texts.join(`\n${' '.repeat(indent)}`);

/**
 * The text of modeling_espalier.py: the stock model of the family with the removed sublayers taken
 * out. Key/value caches are counted over the attention sublayers that remain, since transformers
 * asks cache 0 for the length and the first cache of a kind for the mask's size.
 */
export function modellingFile(family: Architecture): string {
  const { modelType } = family;
  const { stockConfig, stockModel, config, model } = modellingClasses(modelType);
  const { attention, feedforward } = modulesOf(family);
  const [attentionModule = ''] = attention.parts;
  const second = ['feedforward', ...(family.experts === undefined ? [] : ['expert'])]
    .map((kind) => `config.lacks(block, "${kind}")`)
    .join(' or ');
  const withoutBranch = ({ norms, parts }: BranchModules, substitute: string): string =>
    lines(
      [
        ...norms.map((norm) => `layer.${norm} = nn.Identity()`),
        ...parts.map((part) => `layer.${part} = ${substitute}()`),
      ],
      16,
    );
  return `# Written by Espalier, which has removed single sublayers of this model. SPDX-License-Identifier: MIT
"""${modelType} without the attention and feed-forward sublayers that \`espalier.removed\` of config.json lists."""

import copy

import torch
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
        return torch.zeros_like(hidden_states), None


class NoFeedforward(nn.Module):
    def forward(self, hidden_states):
        return torch.zeros_like(hidden_states)


try:  # transformers 5 renames tensors of older checkpoints by the class of the model or by its type
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping as conversion_of
    from transformers.conversion_mapping import register_checkpoint_conversion_mapping as register

    conversion = conversion_of("${stockModel}") or conversion_of("${modelType}")
    if conversion is not None:
        register("${model}", conversion, overwrite=True)
except ImportError:
    pass


class ${model}(${stockModel}):
    config_class = ${config}
    config: ${config}

    def __init__(self, config):
        super().__init__(config)
        caches = 0
        for block, layer in enumerate(${layersPath(family)}):
            if config.lacks(block, "attention"):
                ${withoutBranch(attention, 'NoAttention')}
            else:
                layer.${attentionModule}.layer_idx = caches
                caches += 1
            if ${second}:
                ${withoutBranch(feedforward, 'NoFeedforward')}
`;
}
