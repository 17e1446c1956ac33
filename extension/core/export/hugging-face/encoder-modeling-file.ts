import { patchModuleNames } from '../../models/encoders/encoder-architecture';
import type { EncoderArchitecture } from '../../models/encoders/encoder-architecture';
import { replacementClasses, takesModule } from '../../models/branch-replacements';
import type { BranchReplacements } from '../../models/branch-replacements';
import { compressedParts } from './compressed-modules';
import type { ModuleNeeds } from './compressed-modules';
import { modelingClasses, raiseTooOld } from './modeling-classes';
import type { NamedClasses } from './modeling-classes';
import { lacksMethod, modelClass, pythonLines, registration } from './modeling-file';
import { embeddingAndHeadParts } from './embedding-and-head-modules';
import { patchParts } from './patch-modules';
import { widthParts } from './width-modules';

/** Python statement that replaces a module of a block; the name may contain a list index. */
function withStandIn(name: string, stand: BranchReplacements[string]): string {
  if (/\.\d+$/.test(name)) {
    const given = takesModule(stand) ? `layer.get_submodule("${name}")` : '';
    return `layer.set_submodule("${name}", ${stand}(${given}))`;
  }
  return stand === 'None'
    ? `layer.${name} = None`
    : `layer.${name} = ${stand}(${takesModule(stand) ? `layer.${name}` : ''})`;
}

/** Source of modeling_espalier.py: the stock encoder without the removed sublayers and with compressed layers. */
export function encoderModelingFile(
  family: EncoderArchitecture,
  named: NamedClasses,
  needs: ModuleNeeds,
): string {
  const { modelType, modules, prefix, classes } = family;
  const names = modelingClasses({ kind: 'encoder', architecture: family }, named);
  const { stockConfig, stockModel, config, model } = names;
  const layers = `self.${stockModel === classes.model ? '' : (modules.prefix ?? prefix)}${modules.layers}`;
  const withoutBranch = (standIns: BranchReplacements): string =>
    pythonLines(
      Object.entries(standIns).flatMap(([name, stand]) => [
        // PyTorch takes no module for a name that is a parameter's.
        ...(stand === 'Unscaled' ? [`del layer.${name}`] : []),
        withStandIn(name, stand),
      ]),
      16,
    );
  const used = new Set([
    ...Object.values(modules.attention),
    ...Object.values(modules.feedforward),
  ]);
  const stands = [...used].map((name) => replacementClasses[name]).filter((text) => text !== '');
  const forms = compressedParts(needs, modules.linears);
  const widths = widthParts(family, needs, { ...modules, nested: family.config.nested });
  const embeddingAndHead = embeddingAndHeadParts(needs, stockModel);
  const patchedModules = patchModuleNames(family);
  const patches = patchParts(
    needs,
    (['attention', 'feedforward'] as const).map((kind) => {
      const module = patchedModules[kind];
      return { kinds: [kind], module, stand: modules[kind][module] ?? '' };
    }),
  );
  return `# Written by Espalier, which has removed sublayers of this model or compressed matrices. SPDX-License-Identifier: MIT
"""${modelType} without the attention and MLP sublayers that \`espalier.removed\` of config.json lists,
and with the linear layers that \`espalier.compressed\` lists in other forms than dense."""

import torch
from torch import nn
from transformers import ${stockConfig}, ${stockModel}


class ${config}(${stockConfig}):
    model_type = "espalier-${modelType}"

${lacksMethod}
${widths.method}${forms.method}${patches.method}

${stands.join('\n\n')}
${widths.classes}${forms.classes}${patches.classes}${embeddingAndHead.classes}
${registration(modelType, stockModel, model)}


${modelClass(names, embeddingAndHead.attribute)}${embeddingAndHead.call}
        try:
            layers = ${layers}
        except AttributeError:
            ${raiseTooOld} from None
        for block, layer in enumerate(layers):${widths.call}${forms.call}
            if config.lacks(block, "attention"):
                ${withoutBranch(modules.attention)}
            if config.lacks(block, "feedforward"):
                ${withoutBranch(modules.feedforward)}${patches.call}
`;
}
