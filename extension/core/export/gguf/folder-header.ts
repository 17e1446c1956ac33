import {
  clampKey,
  ggufFields,
  fieldKeys,
  valueLength,
  windowPattern,
  gatingKey,
} from '../../models/gguf/gguf-fields';
import { hasWindows } from '../../models/gguf/gguf-windows';
import { layerTypeConfig } from '../../models/parts/rotary';
import { sparsityThreshold } from '../../models/parts/mlp-part';
import type { Changes } from '../changes';
import { deciArchitecture, widthPrunedSizes, sizesAfter } from './gguf-sizes';
import { headDimension, configSizes } from './folder-model';
import type { FolderModel } from './folder-model';
import { HeaderEntries } from './header-entries';
import { expertEntries, latentEntries, mixerEntries } from './mixture-header';
import { rotaryEntries, ropeTheta } from './rotary-header';
import {
  boundKey,
  compressedTheta,
  ratiosKey,
  rootSoftplus,
  tableBlocks,
} from '../../models/gguf/deepseek4';

/** Entries about the model, keys as llama.cpp spells them (gguf-py, constants.py). */
export function modelEntries(
  model: FolderModel,
  changes: Changes,
  isDeci: boolean,
  fileType: number,
): Buffer[] {
  const { config, target } = model;
  const { blocks } = changes;
  const entries = new HeaderEntries(isDeci ? deciArchitecture : target.architecture);
  const { rms_norm_eps: epsilonKey = ggufFields.rms_norm_eps } = fieldKeys(
    model.architecture,
    target.family,
  );
  entries.general(model.name, fileType);
  entries.integer(ggufFields.vocab_size, config.vocab_size);
  entries.integer(ggufFields.max_position_embeddings, config.max_position_embeddings);
  entries.integer(ggufFields.hidden_size, config.hidden_size);
  entries.integer(ggufFields.num_hidden_layers, blocks.length);
  entries.float(epsilonKey, config.rms_norm_eps);
  entries.floatIfPresent(ggufFields.attn_logit_softcapping, config.attn_logit_softcapping);
  entries.floatIfPresent(ggufFields.final_logit_softcapping, config.final_logit_softcapping);
  ownEntries(entries, model, blocks);
  attentionEntries(entries, model, changes, isDeci);
  expertEntries(entries, model, changes);
  mixerEntries(entries, model, changes);
  latentEntries(entries, model);
  rotaryEntries(entries, model);
  windowEntries(entries, model, blocks);
  compressedEntries(entries, model, blocks);
  return entries.bytes();
}

/** Fields that are stored as floats even if the value is a whole number. */
const floatField = /(?:scale|epsilon|freq_base)$/;

/** The family's own fields; factors and bounds are floats. */
function ownEntries(
  entries: HeaderEntries,
  { config, architecture, target }: FolderModel,
  blocks: readonly number[],
): void {
  const { sparsity } = architecture.feedforward.parts ?? {};
  if (sparsity !== undefined) {
    const each = Array.from({ length: config.num_hidden_layers }, (_, block) => block);
    entries.floats(
      'activation_sparsity_scale',
      each.map((block) => sparsityThreshold(sparsity(config, block)) ?? -Infinity),
    );
  }
  const fields: Readonly<Record<string, unknown>> = config;
  for (const [field, name] of Object.entries(target.family.fields ?? {})) {
    const value = fields[field];
    if (typeof value === 'boolean') {
      entries.flag(name, value);
    } else if (typeof value === 'number') {
      if (floatField.test(name) || name === clampKey) {
        entries.float(name, value);
      } else {
        entries.integer(name, value);
      }
    } else if (typeof value === 'string') {
      entries.text(name, value);
    }
  }
  for (const [name, isSo] of Object.entries(target.family.blockFlags ?? {})) {
    entries.flags(
      name,
      blocks.map((block) => isSo(config, block)),
    );
  }
  for (const [name, value] of Object.entries(target.family.header?.(config, architecture) ?? {})) {
    if (typeof value === 'boolean') {
      entries.flag(name, value);
    } else {
      entries.float(name, value);
    }
  }
}

function attentionEntries(
  entries: HeaderEntries,
  model: FolderModel,
  changes: Changes,
  isDeci: boolean,
): void {
  const { config, architecture, target } = model;
  const { heads, keyValueHeads } = configSizes(config);
  const each = (sizeOf: (block: number) => number | undefined, usual: number): number[] =>
    Array.from({ length: config.num_hidden_layers }, (_, block) => sizeOf(block) ?? usual);
  const sizes = {
    ...{ heads, keyValueHeads, hasSameHeads: true },
    blockKeyValueHeads: each(
      (block) => architecture.heads?.(config, block).numKeyValueHeads,
      keyValueHeads,
    ),
    blockInnerSizes: each(
      (block) => architecture.innerSize?.(config, block),
      config.intermediate_size,
    ),
  };
  if (isDeci) {
    for (const [field, values] of sizesAfter(sizes, changes)) {
      entries.integers(field, values);
    }
  } else {
    const widthPruned = widthPrunedSizes(sizes, changes);
    for (const [field, before] of sizesAfter(sizes, changes)) {
      const { all, each: own = before } = widthPruned.get(field) ?? {};
      const values = all === undefined ? own : [all];
      const [first = 0, ...others] = new Set(values);
      if (others.length === 0) {
        entries.integer(field, first);
      } else {
        entries.integers(field, values);
      }
    }
  }
  const { hasOwnWindowHeads = false, ownValueSize = false, towers } = target.family;
  if (towers !== undefined) {
    // T5 has a key for each head of its queries (conversion/t5.py).
    entries.remove(ggufFields.num_key_value_heads);
  }
  for (const length of [ggufFields.head_dim, valueLength]) {
    entries.integer(length, headDimension(model, 'full_attention'));
    if (hasOwnWindowHeads) {
      entries.integer(`${length}_swa`, headDimension(model, 'sliding_attention'));
    }
  }
  if (ownValueSize) {
    const { valueDim = configSizes(config).headDim } = architecture.heads?.(config, 0) ?? {};
    entries.integer(valueLength, valueDim);
  }
}

/** Sliding-window flag of every block, so that removing a block doesn't change the others. */
function windowEntries(
  entries: HeaderEntries,
  { config, architecture, target }: FolderModel,
  blocks: readonly number[],
): void {
  const { windows } = target.family;
  const windowed = blocks.map((block) => architecture.slidingWindow(config, block) !== undefined);
  if (
    windows === undefined ||
    !hasWindows(windows, blocks.length) ||
    (windows.mayLack === true && !windowed.includes(true))
  ) {
    return;
  }
  const { bothSides = false } = windows;
  entries.integer(ggufFields.sliding_window, (config.sliding_window ?? 0) * (bothSides ? 2 : 1));
  entries.flags(windowPattern, windowed);
  if (windows.ownRotary === true) {
    entries.float('rope.freq_base_swa', ropeTheta(layerTypeConfig(config, 'sliding_attention')));
  }
}

/** Entries about blocks whose attention reads compressed runs of tokens (conversion/deepseek.py). */
function compressedEntries(
  entries: HeaderEntries,
  { architecture, config }: FolderModel,
  blocks: readonly number[],
): void {
  const { compressed, experts } = architecture;
  if (compressed === undefined) {
    return;
  }
  const theta = (type: string): number => ropeTheta(layerTypeConfig(config, type));
  entries.integers(
    ratiosKey,
    blocks.map((block) => compressed(config, block).rate ?? 0),
  );
  entries.float('rope.freq_base', theta('sliding_attention'));
  entries.float(compressedTheta, theta('full_attention'));
  // llama.cpp doesn't scale cosines and sines of this family.
  entries.remove('rope.scaling.attn_factor');
  entries.integer(gatingKey, rootSoftplus);
  entries.flag('expert_weights_norm', true);
  entries.integer(
    tableBlocks,
    blocks.filter((block) => experts?.parts?.table?.appliesTo(config, block) === true).length,
  );
  const { limit = 0 } = experts?.expertParts?.clamp?.(config) ?? {};
  entries.floats(
    boundKey,
    blocks.map(() => limit),
  );
}
