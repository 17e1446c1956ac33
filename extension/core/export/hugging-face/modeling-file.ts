import { projectionNames, partWiring } from '../../models/transformer/architecture';
import type { Architecture } from '../../models/transformer/architecture';
import type { WiringNames } from '../../models/modules/wiring-names';
import { cacheParts } from './cache-modules';
import { compressedParts } from './compressed-modules';
import type { ModuleNeeds } from './compressed-modules';
import { decoderClasses, modelingClasses, raiseTooOld } from './modeling-classes';
import type { ModelingClasses, NamedClasses } from './modeling-classes';
import { embeddingAndHeadParts } from './embedding-and-head-modules';
import { patchParts } from './patch-modules';
import { widthParts } from './width-modules';

/** Modules of a decoder layer that belong to one branch. */
interface BranchModules {
  readonly norms: readonly string[];
  /** Modules that compute the branch. The first one is replaced; the others pass its output on. */
  readonly parts: readonly string[];
}

const moduleName = (name: string): string => name.split('.')[0] ?? name;

/** Modules that a removed branch replaces. Norms inside the branch are removed with it; norms of the sum remain. */
function branchModules(
  { norm, postNorm }: WiringNames,
  linears: readonly string[],
  sharesNorm: boolean,
): BranchModules {
  return {
    norms: [sharesNorm ? undefined : norm, postNorm].filter((name) => name !== undefined),
    parts: [...new Set(linears.map(moduleName))],
  };
}

/** True if attention and the parallel branch share one norm, which stays until both are removed. */
function sharesNorm({ attention, feedforward, mixer }: Architecture): boolean {
  return attention.wiring.norm === feedforward.wiring.norm || mixer?.wiring.parallel === 'input';
}

/** Modules of a layer in transformers, by branch. */
export function sublayerModules(
  family: Architecture,
): Record<'attention' | 'feedforward', BranchModules> & { readonly mixer?: BranchModules } {
  const shares = sharesNorm(family);
  const { attention, feedforward, mixer, laurel } = family;
  const inputs = feedforward.gateUp;
  return {
    attention: branchModules(
      attention.wiring,
      [attention.output],
      // LAuReL reads its norm too.
      shares || laurel !== undefined,
    ),
    ...(mixer === undefined ? {} : { mixer: branchModules(mixer.wiring, [mixer.module], shares) }),
    feedforward: branchModules(
      partWiring(family, 'expert'),
      [...projectionNames(inputs), feedforward.down],
      shares && mixer === undefined,
    ),
  };
}

/** The family with the names that transformers gives the modules of its blocks. */
function asInTransformers(family: Architecture): Architecture {
  const { moduleNames = {}, attention, feedforward } = family;
  const { gateUp } = feedforward;
  const named = (name: string): string =>
    name.replace(/^[^.]+/, (module) => moduleNames[module] ?? module);
  const wiring = ({ norm, ...others }: WiringNames): WiringNames =>
    norm === undefined ? others : { ...others, norm: named(norm) };
  return {
    ...family,
    attention: { ...attention, wiring: wiring(attention.wiring), output: named(attention.output) },
    feedforward: {
      ...feedforward,
      wiring: wiring(feedforward.wiring),
      gateUp: 'fused' in gateUp ? { ...gateUp, fused: named(gateUp.fused) } : gateUp.map(named),
      down: named(feedforward.down),
    },
  };
}

/**
 * Class that replaces the residual connections of a removed sublayer in models with several
 * streams.
 */
const keepStreamsSource = `class KeptStreams(nn.Module):
    """Streams past a removed sublayer: none of what it gives, each as it was, and something to read."""

    def forward(self, streams):
        nothing, first = torch.zeros_like(streams[..., 0]), streams[..., 0, :]
        return nothing, torch.diag_embed(torch.ones_like(nothing)), first


`;

/** Python lines, each indented by `indent` spaces after the first. */
export const pythonLines = (texts: readonly string[], indent: number): string =>
  texts.join(`\n${' '.repeat(indent)}`);

/** Method of a configuration that returns whether a sublayer is removed. */
export const lacksMethod = `    def lacks(self, block, kind):
        removed = (getattr(self, "espalier", None) or {}).get("removed", [])
        return f"block.{block}.{kind}" in removed`;

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

/** First lines of the class of a model that a modeling file defines, up to the end of its constructor's first line. */
export const modelClass = (
  { stockModel, config, model }: Pick<ModelingClasses, 'stockModel' | 'config' | 'model'>,
  attribute = '',
): string => `class ${model}(${stockModel}):
    config_class = ${config}
    config: ${config}${attribute}

    def __init__(self, config, **keywords):
        super().__init__(config, **keywords)`;

/** Python that differs where the decoder is the text tower of a larger model. */
interface WholeParts {
  /** Names imported from transformers. */
  readonly imports: string;
  /** The decoder's configuration, and the stock one. */
  readonly config: string;
  readonly stockConfig: string;
  /** Class of the complete configuration, if it is a different one. */
  readonly classes: string;
  /**
   * Lines that set `config` to the decoder's configuration, after the stock model is constructed.
   */
  readonly decoder: readonly string[];
  readonly layers: string;
}

function wholeParts(
  { modelType, textType, classes, embeddingAndHead: { prefixes, blocks } }: Architecture,
  { stockConfig, stockModel, config }: ModelingClasses,
): WholeParts {
  const named = `model_type = "espalier-${modelType}"`;
  if (textType === undefined) {
    return {
      imports: `${stockConfig}, ${stockModel}`,
      config: `class ${config}(${stockConfig}):\n    ${named}\n`,
      stockConfig,
      classes: '',
      decoder: [],
      layers: `self.${prefixes[0] ?? ''}${blocks}`,
    };
  }
  const text = decoderClasses({ modelType, textType, classes });
  return {
    imports: `${stockModel}, ${text.stockConfig}`,
    config: `class ${text.config}(${text.stockConfig}):\n    """That of the text tower, whose type stays: transformers makes the tower by it."""\n`,
    stockConfig: text.stockConfig,
    classes: `class ${config}(${stockModel}.config_class):
    ${named}

    def get_text_config(self, decoder=None, **kwargs):
        return super().get_text_config(decoder=decoder, **kwargs).get_text_config(decoder=decoder)


`,
    decoder: [
      'tower = self.get_decoder().get_decoder()  # some wrap it in a model with a head',
      'removals, config = getattr(config, "espalier", None), tower.config',
      `config.__class__, config.espalier = ${text.config}, removals  # the modules of the tower hold this object`,
    ],
    layers: `tower.${blocks}`,
  };
}

/** Python for the sublayers that are removed from a layer, as parts of a modeling file. */
interface RemovalParts {
  /** Classes of the modules that replace removed ones. */
  readonly attentionClass: string;
  readonly feedforwardClass: string;
  /** Lines that remove the attention of a layer. */
  readonly attention: readonly string[];
  /** Lines that remove the MLP or the experts of a layer. */
  readonly feedforward: readonly string[];
  /** Statements inside the loop over layers that remove mixers. */
  readonly mixer: string;
}

/** @param parameters further parameters of an MLP's `forward` */
function removalParts(family: Architecture, parameters: string): RemovalParts {
  const { addsStreamInside = [], connections, attentionGives = 'pair' } = family;
  const { attention, feedforward, mixer } = sublayerModules(family);
  const without = ({ norms, parts }: BranchModules, substitute: string): string[] => [
    ...norms.map((norm) => `layer.${norm} = nn.Identity()`),
    ...parts.map((part) => `layer.${part} = ${substitute}()`),
  ];
  const unconnected = (branch: 'attention' | 'feedforward'): string[] =>
    connections === undefined ? [] : [`layer.${connections.modules[branch]} = KeptStreams()`];
  /** Parameter for the residual stream of a branch, and the output that adds nothing to it. */
  const stream = (
    branch: 'attention' | 'feedforward',
  ): { readonly parameter: string; readonly nothing: string } =>
    addsStreamInside.includes(branch)
      ? { parameter: ', residual', nothing: 'residual' }
      : { parameter: '', nothing: 'torch.zeros_like(hidden_states)' };
  const attended = stream('attention');
  const given = `${attended.nothing}, None`;
  const gives = { list: `[${given}]`, triple: `${given}, None`, pair: given }[attentionGives];
  const computed = stream('feedforward');
  return {
    attentionClass: `class NoAttention(nn.Module):
    def forward(self, hidden_states${attended.parameter}, *args, **kwargs):
        return ${gives}


`,
    feedforwardClass: `${connections === undefined ? '' : keepStreamsSource}class NoFeedforward(nn.Module):
    def forward(self, hidden_states${computed.parameter}${parameters}):
        return ${computed.nothing}
`,
    attention: [...without(attention, 'NoAttention'), ...unconnected('attention')],
    feedforward: [...without(feedforward, 'NoFeedforward'), ...unconnected('feedforward')],
    mixer:
      mixer === undefined
        ? ''
        : `
            if config.lacks(block, "mixer"):
                ${pythonLines(without(mixer, 'NoMixer'), 16)}`,
  };
}

/** Modules of a layer that patches replace, by the kinds of their sublayers. */
function patchedModules(family: Architecture): Parameters<typeof patchParts>[1] {
  const { attention, feedforward, mixer } = sublayerModules(family);
  // A mixer that returns a pair is called like an attention.
  const mixerStand = family.mixer?.givesPair === true ? 'NoAttention' : 'NoMixer';
  return [
    { kinds: ['attention'], module: attention.parts[0] ?? '', stand: 'NoAttention' },
    ...(mixer === undefined
      ? []
      : [{ kinds: ['mixer'], module: mixer.parts[0] ?? '', stand: mixerStand }]),
    {
      kinds: feedforwardKinds(family),
      module: feedforward.parts[0] ?? '',
      stand: 'NoFeedforward',
    },
  ];
}

const feedforwardKinds = ({ experts }: Architecture): readonly string[] =>
  experts === undefined ? ['feedforward'] : ['feedforward', 'expert'];

/**
 * Source of modeling_espalier.py: the stock model of the family without the removed sublayers and with compressed
 * layers. Caches are numbered over the remaining attention sublayers, because transformers reads the length from cache
 * 0 and the mask size from the first cache of each kind.
 */
export function modelingFile(
  stored: Architecture,
  named: NamedClasses,
  needs: ModuleNeeds,
): string {
  const family = asInTransformers(stored);
  const names = modelingClasses({ kind: 'decoder', architecture: stored }, named);
  const { stockModel, config, model } = names;
  const whole = wholeParts(family, names);
  const { feedforward, mixer } = sublayerModules(family);
  const experts = expertParts(family, feedforward.parts[0] ?? '', whole.layers, (lines) =>
    pythonLines(lines, 16),
  );
  const removals = removalParts(family, experts.parameters);
  const caches = cacheParts(family, mixer?.parts[0] ?? '');
  const widths = widthParts(family, needs);
  const compressed = compressedParts(needs);
  const embeddingAndHead = embeddingAndHeadParts(needs, stockModel);
  const sharedNorm = sharesNorm(family) ? family.attention.wiring.norm : undefined;
  const patches = patchParts(needs, patchedModules(family), sharedNorm);
  const towerConfig = whole.decoder.map((line) => `\n        ${line}`).join('');
  const lacksFeedforward = feedforwardKinds(family)
    .map((kind) => `config.lacks(block, "${kind}")`)
    .join(' or ');
  return `# Written by Espalier, which has removed sublayers of this model or compressed matrices. SPDX-License-Identifier: MIT
"""${family.modelType} without the sublayers that \`espalier.removed\` of config.json lists,
and with the linear layers that \`espalier.compressed\` lists in other forms than dense."""

import copy${caches.imports}

import torch
from torch import nn
from transformers import ${whole.imports}


${whole.config}
${lacksMethod}
${experts.method}${widths.method}${compressed.method}${patches.method}${caches.method}
    def get_text_config(self, decoder=None, **kwargs):
        """Caches are made from the decoder's config: one for each attention sublayer that remains."""
        if not decoder:
            return super().get_text_config(decoder=decoder, **kwargs)
        blocks = [b for b in range(self.num_hidden_layers) if ${caches.keeps('self', 'b')}]
        if len(blocks) == self.num_hidden_layers:
            return self
        ${pythonLines(caches.config, 8)}


${removals.attentionClass}${caches.classes}${removals.feedforwardClass}${widths.classes}${compressed.classes}${embeddingAndHead.classes}${patches.classes}

${whole.classes}${registration(family.modelType, stockModel, model)}


class ${model}(${stockModel}):
    config_class = ${config}
    config: ${config}${embeddingAndHead.attribute}

    def __init__(self, config):
        super().__init__(config)${towerConfig}${experts.check}${embeddingAndHead.call}
        caches = 0
        for block, layer in enumerate(${whole.layers}):
            if config.lacks(block, "attention"):
                ${pythonLines(caches.without(removals.attention), 16)}${removals.mixer}
            if ${caches.keeps('config', 'block')}:
                ${pythonLines(caches.number, 16)}
                caches += 1${widths.call}${compressed.call}${experts.call}
            if ${lacksFeedforward}:
                ${pythonLines(removals.feedforward, 16)}${experts.withoutOwnNorms}${patches.call}
`;
}

/** Python source for MoE layers with other numbers of experts, as parts of a modeling file. */
interface ExpertParts {
  /** Method of the configuration. */
  readonly method: string;
  /** Statement that fails if the version of transformers is too old. */
  readonly check: string;
  /** Statements inside the loop over layers. */
  readonly call: string;
  /** Statements that remove modules that transformers applies next to the MLP. */
  readonly withoutOwnNorms: string;
  /** Further parameters of the module's `forward`. */
  readonly parameters: string;
}

/**
 * Source for MoE layers; empty if the family has none.
 * @param module of the MoE layer in transformers
 * @param layers Python expression of all layers
 * @param indented joins Python lines inside the loop
 */
function expertParts(
  { experts, config }: Pick<Architecture, 'experts' | 'config'>,
  module: string,
  layers: string,
  indented: (lines: readonly string[]) => string,
): ExpertParts {
  if (experts === undefined) {
    return { method: '', check: '', call: '', withoutOwnNorms: '', parameters: '' };
  }
  const perToken = config?.names?.['num_experts_per_tok'] ?? 'num_experts_per_tok';
  const { ownNorms, table } = experts.parts ?? {};
  // Only some blocks have a table, so transformers constructs the module with the block's number.
  const block = table === undefined ? '' : ', block';
  const modules = ownNorms?.modules ?? [module];
  return {
    method: `
    def experts_in(self, block):
        """Number of experts where it is another than the model's."""
        experts = (getattr(self, "espalier", None) or {}).get("experts") or {}
        return experts.get(str(block))
`,
    // transformers 4 uses another module there, and would silently ignore its weights.
    check: `\n        if not all(hasattr(layer, "${module}") for layer in ${layers}):\n            ${raiseTooOld}`,
    call: `
            count = config.experts_in(block)
            if count is not None:
                fewer = copy.copy(config)
                fewer.num_local_experts = fewer.num_experts = count
                fewer.${perToken} = min(config.${perToken}, count)
                ${indented(modules.map((name) => `layer.${name} = type(layer.${name})(fewer${block})`))}`,
    withoutOwnNorms:
      ownNorms === undefined
        ? ''
        : `
                if layer.${ownNorms.flag}:
                    layer.${ownNorms.flag} = False
                    ${[...ownNorms.modules, ownNorms.norm, ownNorms.postNorm, ownNorms.sharedPostNorm].map((name) => `layer.${name}`).join(' = ')} = None`,
    parameters: table === undefined ? '' : ', **kwargs',
  };
}
