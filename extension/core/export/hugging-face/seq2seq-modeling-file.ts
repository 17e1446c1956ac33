import type { ParsedFamily } from '../../models/model-family';
import type { TowerNames } from '../../models/seq2seq/seq2seq-family';
import { replacementClasses, takesModule } from '../../models/branch-replacements';
import type { BranchReplacements } from '../../models/branch-replacements';
import { compressedParts } from './compressed-modules';
import type { ModuleNeeds } from './compressed-modules';
import { modelingClasses, raiseTooOld } from './modeling-classes';
import type { NamedClasses } from './modeling-classes';
import { lacksMethod, modelClass, pythonLines, registration } from './modeling-file';
import { widthParts } from './width-modules';

/**
 * Source of modeling_espalier.py: the stock encoder and decoder without the removed sublayers and with compressed
 * layers.
 */
export function seq2seqModelingFile(
  family: Extract<ParsedFamily, { kind: 'encoder-decoder' }>,
  named: NamedClasses,
  needs: ModuleNeeds,
): string {
  const { modelType, prefix, classes: ownClasses, towers } = family.architecture;
  const names = modelingClasses(family, named);
  const { stockConfig, stockModel, config, model } = names;
  const { encoder, decoder } = towers(family.config);
  const before = stockModel === ownClasses.model ? '' : prefix;
  const towerList = (tower: TowerNames): string =>
    `self.get_submodule("${before}${tower.prefix}${tower.blocks}")`;
  const used = new Set(
    [encoder, decoder].flatMap(({ modules }) =>
      Object.values(modules).flatMap((stands: BranchReplacements) => Object.values(stands)),
    ),
  );
  const classes = [...used].map((name) => replacementClasses[name]).filter((text) => text !== '');
  const counted = [
    ['attention', decoder.attention],
    ['cross-attention', decoder.crossAttention],
  ] as const;
  const number = counted.map(
    ([kind, { output }]) => `if not config.lacks(block, "${kind}"):
                layer.get_submodule("${output.slice(0, output.lastIndexOf('.'))}").layer_idx = caches["${kind}"]
                caches["${kind}"] += 1`,
  );
  const forms = compressedParts(needs);
  const asksForDtype =
    forms.classes === '' ? '' : '\nCompressed.weight = None  # T5 asks for its dtype\n';
  const widths = widthParts(encoder, needs);
  return `# Written by Espalier, which has removed sublayers of this model or compressed matrices. SPDX-License-Identifier: MIT
"""${modelType} without the sublayers that \`espalier.removed\` of config.json lists, and with the linear layers that
\`espalier.compressed\` lists in other forms than dense: blocks of the decoder are numbered behind those of the encoder."""

import torch
from torch import nn
from transformers import ${stockConfig}, ${stockModel}, __version__

# transformers 4 has other arguments of modules, whose values would go missing without a word.
if int(__version__.partition(".")[0]) < 5:
    ${raiseTooOld}


class ${config}(${stockConfig}):
    model_type = "espalier-${modelType}"

${lacksMethod}
${widths.method}${forms.method}

${classes.join('\n\n')}
${widths.classes}${forms.classes}${asksForDtype}
${registration(modelType, stockModel, model)}


${modelClass(names)}
        encoder, decoder = ${towerList(encoder)}, ${towerList(decoder)}
        caches = {"attention": 0, "cross-attention": 0}
        for block, layer in enumerate(encoder):${widths.call}${forms.call}
            ${pythonLines(removals(encoder), 12)}
        for block, layer in enumerate(decoder, len(encoder)):${widthParts(decoder, needs).call}${forms.call}
            ${pythonLines([...removals(decoder), ...number], 12)}
`;
}

/** Lines that remove the sublayers of a block that the configuration lacks. */
function removals({ modules }: TowerNames): string[] {
  return Object.entries(modules).map(([kind, stands]: [string, BranchReplacements]) => {
    const lines = Object.entries(stands).map(
      ([name, stand]) =>
        `layer.set_submodule("${name}", ${stand}(${takesModule(stand) ? `layer.get_submodule("${name}")` : ''}))`,
    );
    return `if config.lacks(block, "${kind}"):\n                ${pythonLines(lines, 16)}`;
  });
}
