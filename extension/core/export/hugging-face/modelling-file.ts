import type { Refusal } from '../../models/capability';
import { knownArchitecture } from '../../models/transformer/architectures';
import type { Architecture, BranchNorms } from '../../models/transformer/architecture';
import { patchModulesOf } from '../../models/encoders/encoder-architecture';
import type { EncoderArchitecture } from '../../models/encoders/encoder-architecture';
import { knownEncoder } from '../../models/encoders/encoder-architectures';
import { headForm, prunedClassPrefix } from '../../models/encoders/encoder-layout';
import { knownStaged } from '../../models/stages/staged-families';
import { classesOf } from '../../models/stages/staged-family';
import { baseModelType } from '../../models/transformer/model-config';
import type { ModelConfig } from '../../models/transformer/model-config';
import { readArchitecture } from '../../models/open-model';
import type { Changes } from '../changes';
import { cacheParts } from './cache-modules';
import { compressedParts } from './compressed-modules';
import type { ModuleNeeds } from './compressed-modules';
import { outerParts } from './outer-modules';
import { patchParts, takesPatches } from './patch-modules';
import { whyNoWidths, widthParts } from './width-modules';
import { say } from '../../message';

/** Name of the Python module that is written beside models that are no ordinary ones of their family. */
export const modellingModule = 'modeling_espalier';

/** Python classes for one model. */
export interface ModellingClasses {
  readonly stockConfig: string;
  readonly stockModel: string;
  /** The class of transformers that finds the model's. */
  readonly autoModel: string;
  readonly config: string;
  readonly model: string;
}

/** Fields of a config.json that name classes. */
export interface NamedClasses {
  readonly model_type?: unknown;
  readonly architectures?: unknown;
}

/** transformers names its classes after `model_type` (`qwen2` has `Qwen2Config`), with exceptions. */
export function modellingClasses(config: NamedClasses): ModellingClasses {
  const modelType = baseModelType(String(config.model_type));
  const encoder = knownEncoder(modelType);
  if (encoder !== undefined) {
    const head = headForm(encoder, { architectures: namesIn(config.architectures) });
    const stockModel = head?.class ?? encoder.classes.model;
    return own(encoder.classes.config, stockModel, head?.auto ?? 'AutoModel');
  }
  const staged = knownStaged(modelType);
  if (staged !== undefined) {
    const classes = classesOf(staged);
    const hasHead = namesIn(config.architectures).some((name) => name.endsWith(classes.head));
    return hasHead
      ? own(classes.config, classes.head, 'AutoModelForImageClassification')
      : own(classes.config, classes.model, 'AutoModel');
  }
  const family = modelType.charAt(0).toUpperCase() + modelType.slice(1);
  const classes = knownArchitecture(modelType)?.classes;
  return own(
    classes?.config ?? `${family}Config`,
    classes?.model ?? `${family}ForCausalLM`,
    'AutoModelForCausalLM',
  );
}

function own(stockConfig: string, stockModel: string, autoModel: string): ModellingClasses {
  return {
    stockConfig,
    stockModel,
    autoModel,
    config: `${prunedClassPrefix}${stockConfig}`,
    model: `${prunedClassPrefix}${stockModel}`,
  };
}

function namesIn(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((name) => typeof name === 'string') : [];
}

/** Modules of a decoder layer that belong to one branch. */
interface BranchModules {
  readonly norms: readonly string[];
  /** What computes the branch; the first is asked, the others pass its answer on. */
  readonly parts: readonly string[];
}

const moduleOf = (name: string): string => name.split('.')[0] ?? name;

/** Norms inside the module of the branch go with it; those of the sum stay. */
function branchModules(
  branch: Omit<BranchNorms, 'norm'> & { readonly norm?: string | undefined },
  linears: readonly string[],
): BranchModules {
  return {
    norms: [branch.norm, branch.postNorm].filter((name) => name !== undefined),
    parts: [...new Set(linears.map(moduleOf))],
  };
}

/** Whether attention and what runs beside it read one norm, which stays as long as one of them does. */
function sharesNorm({ attention, feedforward, mixer }: Architecture): boolean {
  return attention.norm === feedforward.norm || mixer?.isBeside === true;
}

function modulesOf(
  family: Architecture,
): Record<'attention' | 'feedforward', BranchModules> & { readonly mixer?: BranchModules } {
  const norm = sharesNorm(family) ? { norm: undefined } : {};
  const { attention, feedforward, mixer } = family;
  const inputs = feedforward.gateUp;
  const ofExperts = family.experts?.postNorm;
  const postNorm = ofExperts === undefined ? {} : { postNorm: ofExperts };
  return {
    attention: branchModules({ ...attention, ...norm }, [attention.output]),
    ...(mixer === undefined ? {} : { mixer: branchModules({ ...mixer, ...norm }, [mixer.module]) }),
    feedforward: branchModules(
      { ...feedforward, ...postNorm, ...(mixer === undefined ? norm : {}) },
      [...(inputs.kind === 'fused' ? [inputs.name] : inputs.names), feedforward.down],
    ),
  };
}

/** Why a family can have no modelling file, or none with patches: a branch of several modules leaves them no place. */
export function whyNoModellingFile(configText: string, changes: Changes): Refusal | undefined {
  const { patched, compressed } = changes;
  const { model_type: named } = JSON.parse(configText) as NamedClasses;
  const encoder = knownEncoder(baseModelType(String(named)));
  if (encoder !== undefined) {
    return whyNoEncoderFile(encoder, compressed, Object.keys(patched));
  }
  if (knownStaged(baseModelType(String(named))) !== undefined) {
    return undefined;
  }
  const { architecture, config } = readArchitecture(configText, 'config.json');
  if (architecture.otherModules !== undefined) {
    return {
      code: 'no-modelling-file',
      reason: architecture.otherModules,
      remedy:
        architecture.end === undefined
          ? say`Remove whole blocks, choose zeroed, or write ONNX.`
          : say`Choose zeroed, or write ONNX.`,
    };
  }
  const tooNarrow = whyNoWidths(architecture, changes);
  if (tooNarrow !== undefined) {
    return tooNarrow;
  }
  const { attention, feedforward, mixer } = modulesOf(architecture);
  const { addsStreamInside = [] } = architecture;
  const lent = whyKeysAreLent(architecture, config, changes);
  if (lent !== undefined) {
    return lent;
  }
  return Object.keys(patched).some((id) => {
    const branch = id.endsWith('.attention') ? 'attention' : 'feedforward';
    const own = branch === 'attention' ? attention : feedforward;
    const { parts } = id.endsWith('.mixer') && mixer !== undefined ? mixer : own;
    return parts.length > 1 || addsStreamInside.includes(branch);
  })
    ? {
        code: 'nothing-patchable',
        reason: say`transformers computes this sublayer of ${architecture.modelType} models in several modules, so a graph module can't replace it.`,
        remedy: say`Write ONNX.`,
      }
    : undefined;
}

/** Why an attention whose keys and values a later one reads can't be what the changes make of it. */
function whyKeysAreLent(
  { keysOf }: Architecture,
  config: ModelConfig,
  { kept, removed, patched }: Changes,
): Refusal | undefined {
  const readers = kept.filter(({ id }) => id.endsWith('.attention') && !(id in patched));
  const lenders = readers.flatMap(({ block }) => keysOf?.(config, block) ?? []);
  const idOf = (block: number): string => `block.${block}.attention`;
  const replaced = lenders.find((block) => idOf(block) in patched);
  if (replaced !== undefined) {
    return {
      code: 'nothing-patchable',
      reason: say`Later blocks read the keys and values of ${idOf(replaced)}, so a graph module can't replace it.`,
      remedy: say`Choose another sublayer, or write ONNX.`,
    };
  }
  const { compressed = {} } = config.espalier ?? {};
  const packed = lenders.find(
    (block) =>
      removed.includes(idOf(block)) &&
      (compressed[idOf(block)] !== undefined || Boolean(config.quantization_config)),
  );
  return packed === undefined
    ? undefined
    : {
        code: 'matrices-not-expressible',
        reason: say`Later blocks read the keys and values of ${idOf(packed)}, which are compressed and can't stay without it.`,
        remedy: say`Remove it from the original and compress the result, or write ONNX.`,
      };
}

function whyNoEncoderFile(
  { modelType, modules }: EncoderArchitecture,
  compressed: Changes['compressed'],
  patched: readonly string[],
): Refusal | undefined {
  const places = Object.values(compressed).flatMap((matrices) => Object.keys(matrices));
  const split = places.find((place) => modules.splits?.includes(place));
  if (split !== undefined) {
    return {
      code: 'matrices-not-expressible',
      reason: say`transformers splits ${split} of ${modelType} models into several matrices, so it can't be compressed.`,
      remedy: say`Leave it out, choose dense, or write ONNX.`,
    };
  }
  const standing = patchModulesOf({ modules });
  const isPatchable = (['attention', 'feedforward'] as const).every((kind) =>
    takesPatches(modules[kind][standing[kind]] ?? ''),
  );
  return patched.length === 0 || isPatchable
    ? undefined
    : {
        code: 'nothing-patchable',
        reason: say`transformers computes this sublayer of ${modelType} models in several modules, so a graph module can't replace it.`,
        remedy: say`Write ONNX.`,
      };
}

/** Path of the decoder layers from the model with its head. */
function layersPath({ outer: { prefixes, blocks } }: Architecture): string {
  return `self.${prefixes[0] ?? ''}${blocks}`;
}

/** Python lines, each indented by `indent` spaces after the first. */
export const pythonLines = (texts: readonly string[], indent: number): string =>
  texts.join(`\n${' '.repeat(indent)}`);

/** Python that lets transformers 5 read tensors under older names into a class of ours. */
export function registration(modelType: string, stockModel: string, model: string): string {
  return `try:  # transformers 5 renames tensors of older checkpoints by the class of the model or by its type
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping as conversion_of
    from transformers.conversion_mapping import register_checkpoint_conversion_mapping as register

    conversion = conversion_of("${stockModel}") or conversion_of("${modelType}")
    if conversion is not None:
        register("${model}", conversion, overwrite=True)
except ImportError:
    pass`;
}

/** What a module gives that adds nothing. */
const nothing = (addsStream: boolean): string =>
  addsStream ? 'residual' : 'torch.zeros_like(hidden_states)';

const streamOr = (others: string, addsStream: boolean): string =>
  addsStream ? `residual, ${others}` : others;

/**
 * The text of modeling_espalier.py: the stock model of the family with the removed sublayers taken
 * out and the compressed matrices put in. Key/value caches are counted over the attention sublayers that remain, since transformers
 * asks cache 0 for the length and the first cache of a kind for the mask's size.
 */
export function modellingFile(family: Architecture, needs: ModuleNeeds): string {
  const { modelType, addsStreamInside = [] } = family;
  const inside = (branch: 'attention' | 'feedforward'): boolean =>
    addsStreamInside.includes(branch);
  const { stockConfig, stockModel, config, model } = modellingClasses({ model_type: modelType });
  const given = `${nothing(inside('attention'))}, None`;
  const gives = { list: `[${given}]`, triple: `${given}, None`, pair: given }[
    family.attentionGives ?? 'pair'
  ];
  const { attention, feedforward, mixer } = modulesOf(family);
  const [attentionModule = ''] = attention.parts;
  const [feedforwardModule = ''] = feedforward.parts;
  // transformers 4 has another module there, whose weights would go missing without a word.
  const needed =
    family.experts === undefined
      ? ''
      : `\n        if not all(hasattr(layer, "${feedforwardModule}") for layer in ${layersPath(family)}):\n            raise ImportError("this file needs transformers 5 or later")`;
  const fewer =
    family.experts === undefined
      ? ''
      : `
            count = config.experts_in(block)
            if count is not None:
                fewer = copy.copy(config)
                fewer.num_local_experts = fewer.num_experts = count
                fewer.num_experts_per_tok = min(config.num_experts_per_tok, count)
                layer.${feedforwardModule} = type(layer.${feedforwardModule})(fewer)`;
  const experts =
    family.experts === undefined
      ? ''
      : `
    def experts_in(self, block):
        """Number of experts where it is another than the model's."""
        experts = (getattr(self, "espalier", None) or {}).get("experts") or {}
        return experts.get(str(block))
`;
  const widths = widthParts(family, needs);
  const forms = compressedParts(needs);
  const outer = outerParts(needs, stockModel);
  const kinds = ['feedforward', ...(family.experts === undefined ? [] : ['expert'])];
  const [mixerModule = ''] = mixer?.parts ?? [];
  const caches = cacheParts(family, stockModel, mixerModule);
  const patches = patchParts(
    needs,
    [
      { kinds: ['attention'], module: attentionModule, stand: 'NoAttention' },
      ...(mixer === undefined ? [] : [{ kinds: ['mixer'], module: mixerModule, stand: 'NoMixer' }]),
      { kinds, module: feedforwardModule, stand: 'NoFeedforward' },
    ],
    sharesNorm(family) ? family.attention.norm : undefined,
  );
  const second = kinds.map((kind) => `config.lacks(block, "${kind}")`).join(' or ');
  const without = ({ norms, parts }: BranchModules, substitute: string): string[] => [
    ...norms.map((norm) => `layer.${norm} = nn.Identity()`),
    ...parts.map((part) => `layer.${part} = ${substitute}()`),
  ];
  const withoutBranch = (modules: BranchModules, substitute: string): string =>
    pythonLines(without(modules, substitute), 16);
  const withoutMixer =
    mixer === undefined
      ? ''
      : `
            if config.lacks(block, "mixer"):
                ${withoutBranch(mixer, 'NoMixer')}`;
  return `# Written by Espalier, which has removed sublayers of this model or compressed matrices. SPDX-License-Identifier: MIT
"""${modelType} without the sublayers that \`espalier.removed\` of config.json lists,
and with the linear layers that \`espalier.compressed\` lists in other forms than dense."""

import copy${caches.imports}

import torch
from torch import nn
from transformers import ${stockConfig}, ${stockModel}


class ${config}(${stockConfig}):
    model_type = "espalier-${modelType}"

    def lacks(self, block, kind):
        removed = (getattr(self, "espalier", None) or {}).get("removed", [])
        return f"block.{block}.{kind}" in removed
${experts}${widths.method}${forms.method}${patches.method}${caches.method}
    def get_text_config(self, decoder=None, **kwargs):
        """Caches are made from the decoder's config: one for each attention sublayer that remains."""
        if not decoder:
            return super().get_text_config(decoder=decoder, **kwargs)
        blocks = [b for b in range(self.num_hidden_layers) if ${caches.keeps('self', 'b')}]
        if len(blocks) == self.num_hidden_layers:
            return self
        ${pythonLines(caches.config, 8)}


class NoAttention(nn.Module):
    def forward(self, hidden_states, ${streamOr('*args, **kwargs', inside('attention'))}):
        return ${gives}


${caches.classes}class NoFeedforward(nn.Module):
    def forward(self, hidden_states${inside('feedforward') ? ', residual' : ''}):
        return ${nothing(inside('feedforward'))}
${widths.classes}${forms.classes}${outer.classes}${patches.classes}

${registration(modelType, stockModel, model)}


class ${model}(${stockModel}):
    config_class = ${config}
    config: ${config}${outer.attribute}

    def __init__(self, config):
        super().__init__(config)${needed}${outer.call}
        caches = 0
        for block, layer in enumerate(${layersPath(family)}):
            if config.lacks(block, "attention"):
                ${pythonLines(caches.without(without(attention, 'NoAttention')), 16)}${withoutMixer}
            if ${caches.keeps('config', 'block')}:
                ${pythonLines(caches.number, 16)}
                caches += 1${widths.call}${forms.call}${fewer}
            if ${second}:
                ${withoutBranch(feedforward, 'NoFeedforward')}${patches.call}
`;
}
