import { replacementClasses } from '../../models/branch-replacements';
import type { StagedFamily } from '../../models/stages/staged-family';
import { compressedParts } from './compressed-modules';
import type { ModuleNeeds } from './compressed-modules';
import { modelingClasses } from './modeling-classes';
import type { NamedClasses } from './modeling-classes';
import { lacksMethod, modelClass, pythonLines, registration } from './modeling-file';

/**
 * Source of modeling_espalier.py: the stock image model without the removed sublayers and with compressed layers.
 * `places` are the paths of its blocks.
 */
export function stagedModelingFile(
  family: StagedFamily,
  named: NamedClasses,
  places: readonly string[],
  needs: ModuleNeeds,
): string {
  const names = modelingClasses({ kind: 'stages', architecture: family }, named);
  const { stockConfig, stockModel, config, model } = names;
  const { modelType, modules, linears = {}, modulePlace = (place) => place } = family;
  const kinds = Object.entries(modules);
  const used = new Set(kinds.flatMap(([, stands]) => Object.values(stands)));
  const classes = [...used].map((name) => replacementClasses[name]).filter((text) => text !== '');
  const forms = compressedParts(needs, linears);
  const removals = kinds.map(
    ([kind, stands]) => `if config.lacks(block, "${kind}"):
                ${pythonLines(
                  Object.entries(stands).map(
                    ([name, stand]) =>
                      `self.set_submodule(${name === '' ? 'place' : `f"{place}.${name}"`}, ${stand}())`,
                  ),
                  16,
                )}`,
  );
  return `# Written by Espalier, which has removed sublayers of this model or compressed matrices. SPDX-License-Identifier: MIT
"""${modelType} without the sublayers that \`espalier.removed\` of config.json lists, and with the linear layers that
\`espalier.compressed\` lists in other forms than dense."""

import torch
from torch import nn
from transformers import ${stockConfig}, ${stockModel}


places = ${JSON.stringify(
    places.map((place) => modulePlace(place).replace(/\.$/, '')),
    undefined,
    4,
  )}


class ${config}(${stockConfig}):
    model_type = "espalier-${modelType}"

${lacksMethod}
${forms.method}

${classes.join('\n\n')}
${forms.classes}
${registration(modelType, stockModel, model)}


${modelClass(names)}
        for block, place in enumerate(places):${forms.call.replace('layer', 'self.get_submodule(place)')}
            ${pythonLines(removals, 12)}
`;
}
