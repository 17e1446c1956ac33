import { isTurnedAt, noQueryNorms } from '../../models/gguf/gguf-demands';
import { ggufFields, keysOfFields, windowPattern } from '../../models/gguf/gguf-fields';
import type { GgufTarget } from '../../models/gguf/gguf-model';
import { frequencyFactors } from '../../models/gguf/gguf-rotary';
import { hasWindows, noneWindowed } from '../../models/gguf/gguf-windows';
import type { Refusal } from '../../models/capability';
import { configOfLayerType, readRotary } from '../../models/parts/rotary';
import type { Rotary } from '../../models/parts/rotary';
import type { Architecture } from '../../models/transformer/architecture';
import type { ModelConfig, RopeConfig } from '../../models/transformer/model-config';
import type { Changes } from '../changes';
import { deciArchitecture } from './gguf-deci';
import { narrowedSizes, sizesAfter } from './gguf-sizes';
import type { GgufTensor } from './gguf-tensors';
import { headerEntry } from './header-entries';
import { say } from '../../message';
import type { Message } from '../../message';

/** A model of a folder, and what it becomes. */
export interface FolderModel {
  readonly name: string;
  readonly config: ModelConfig;
  /** config.json, for errors. */
  readonly configFile: string;
  readonly architecture: Architecture;
  readonly target: GgufTarget;
}

/** Sizes that config.json may leave to others. */
function sizesOf({ num_attention_heads: heads, ...config }: ModelConfig): {
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
} {
  return {
    heads,
    keyValueHeads: config.num_key_value_heads ?? heads,
    headDim: config.head_dim ?? config.hidden_size / heads,
  };
}

/** Entries about the model, keys as llama.cpp spells them (gguf-py, constants.py). */
export function modelEntries(
  model: FolderModel,
  changes: Changes,
  isDeci: boolean,
  fileType: number,
): Buffer[] {
  const { name, config, target } = model;
  const architecture = isDeci ? deciArchitecture : target.architecture;
  const { heads, keyValueHeads, headDim } = sizesOf(config);
  const { blocks } = changes;
  const key = (field: string): string => `${architecture}.${field}`;
  const integer = (field: string, value: number): Buffer => headerEntry.integer(key(field), value);
  const float = (field: string, value: number): Buffer => headerEntry.float(key(field), value);
  const optional = (field: string, value: number | null | undefined): Buffer[] =>
    typeof value === 'number' ? [float(field, value)] : [];
  const each = (size: number): readonly number[] =>
    Array.from({ length: config.num_hidden_layers }, () => size);
  const sizes = {
    ...{ heads, keyValueHeads, keyValueHeadsOf: each(keyValueHeads) },
    innerSizesOf: each(config.intermediate_size),
  };
  const narrowed = narrowedSizes(sizes, changes);
  const ofBlocks = isDeci
    ? [...sizesAfter(sizes, changes)].map(([field, list]) => headerEntry.integers(key(field), list))
    : [
        [ggufFields.num_attention_heads, heads] as const,
        [ggufFields.num_key_value_heads, keyValueHeads] as const,
        [ggufFields.intermediate_size, config.intermediate_size] as const,
      ].map(([field, size]) => integer(field, narrowed.get(field)?.all ?? size));
  const rotary = rotaryOf(model, 'full_attention');
  const { rms_norm_eps: epsilonKey = ggufFields.rms_norm_eps } = keysOfFields(
    model.architecture,
    target.family,
  );
  return [
    headerEntry.text('general.architecture', architecture),
    headerEntry.text('general.type', 'model'),
    headerEntry.text('general.name', name),
    headerEntry.integer('general.file_type', fileType),
    headerEntry.integer('general.quantization_version', 2),
    integer(ggufFields.vocab_size, config.vocab_size),
    integer(ggufFields.max_position_embeddings, config.max_position_embeddings),
    integer(ggufFields.hidden_size, config.hidden_size),
    integer(ggufFields.num_hidden_layers, blocks.length),
    ...ofBlocks,
    float(epsilonKey, config.rms_norm_eps),
    ...ownEntries(model, key),
    integer(ggufFields.head_dim, headDim),
    integer('attention.value_length', headDim),
    ...optional(ggufFields.attn_logit_softcapping, config.attn_logit_softcapping),
    ...optional(ggufFields.final_logit_softcapping, config.final_logit_softcapping),
    integer('rope.dimension_count', rotary.dimensions),
    float('rope.freq_base', thetaOf(configOfLayerType(config, 'full_attention'))),
    ...scalingEntries(model, key),
    ...windowEntries(model, blocks, key),
  ];
}

/** Fields that the family alone has; numbers are factors. */
function ownEntries({ config, target }: FolderModel, key: (field: string) => string): Buffer[] {
  const fields: Readonly<Record<string, unknown>> = config;
  return Object.entries(target.family.fields ?? {}).flatMap(([field, name]) => {
    const value = fields[field];
    return typeof value === 'number'
      ? [headerEntry.float(key(name), value)]
      : typeof value === 'boolean'
        ? [headerEntry.flag(key(name), value)]
        : [];
  });
}

function rotaryOf({ config, configFile }: FolderModel, layerType: string): Rotary {
  const own = configOfLayerType(config, layerType);
  const order = { interleaved: false, reversed: false };
  return readRotary(own, sizesOf(config).headDim, order, configFile);
}

const ropeOf = (config: ModelConfig): RopeConfig =>
  config.rope_parameters ?? config.rope_scaling ?? {};
const thetaOf = (config: ModelConfig): number =>
  ropeOf(config).rope_theta ?? config.rope_theta ?? 10_000;
function scalingOf(config: ModelConfig): string {
  const rope = ropeOf(configOfLayerType(config, 'full_attention'));
  return rope.rope_type ?? rope.type ?? 'default';
}

function scalingEntries({ config }: FolderModel, key: (field: string) => string): Buffer[] {
  const { factor } = ropeOf(configOfLayerType(config, 'full_attention'));
  return scalingOf(config) === 'linear' && factor !== undefined
    ? [
        headerEntry.text(key('rope.scaling.type'), 'linear'),
        headerEntry.float(key('rope.scaling.factor'), factor),
      ]
    : [];
}

/** Which blocks are windowed, one by one: then removing some does not make others of the rest. */
function windowEntries(
  { config, architecture, target }: FolderModel,
  blocks: readonly number[],
  key: (field: string) => string,
): Buffer[] {
  const { windows } = target.family;
  if (windows === undefined || !hasWindows(windows, blocks.length)) {
    return [];
  }
  const windowed = blocks.map((block) => architecture.slidingWindow(config, block) !== undefined);
  return [
    headerEntry.integer(key(ggufFields.sliding_window), config.sliding_window ?? 0),
    headerEntry.flags(key(windowPattern), windowed),
    ...(windows.ownRotary
      ? [
          headerEntry.float(
            key('rope.freq_base_swa'),
            thetaOf(configOfLayerType(config, 'sliding_attention')),
          ),
        ]
      : []),
  ];
}

/** The divisors of rotary frequencies that Llama 3's scaling amounts to; none for other models. */
export function frequencyTensors(model: FolderModel): GgufTensor[] {
  const { config } = model;
  if (scalingOf(config) !== 'llama3') {
    return [];
  }
  const { dimensions, frequencies } = rotaryOf(model, 'full_attention');
  const theta = thetaOf(config);
  const scaled = frequencies.kind === 'fixed' ? frequencies.inverse : [];
  const factors = Float32Array.from(
    scaled,
    (frequency, i) => theta ** ((-2 * i) / dimensions) / frequency,
  );
  const bytes = new Uint8Array(factors.buffer);
  const { length } = bytes;
  const shape = [factors.length];
  return [{ name: frequencyFactors, shape, type: 'F32', length, source: { kind: 'given', bytes } }];
}

/** Forms of rotary scaling that a GGUF file is written with. */
const writtenScalings = ['default', 'linear', 'llama3'];

/** Why llama.cpp would compute the family, but not this model of it. */
export function whyNotComputed(
  { config, architecture, target, configFile }: FolderModel,
  changes: Changes,
): Refusal | undefined {
  const refusal = (field: string, reason: Message): Refusal => ({
    ...{ code: 'not-in-gguf', file: configFile, field, reason },
    remedy: say`Choose another format.`,
  });
  const { windows } = target.family;
  const { heads, headDim } = sizesOf(config);
  const scaling = scalingOf(config);
  if (!writtenScalings.includes(scaling)) {
    return refusal(
      'rope_parameters',
      say`Rotary scaling "${scaling}" can't be written to GGUF files, only ${writtenScalings.join(', ')}.`,
    );
  }
  const { hidden_act: activation = 'silu' } = architecture.config?.defaults?.({}) ?? {};
  if (config.hidden_act !== activation) {
    return refusal(
      'hidden_act',
      say`llama.cpp computes ${target.architecture} models with ${String(activation)}, not ${config.hidden_act}.`,
    );
  }
  const { turns = () => true } = architecture;
  const turnsByWindow = windows !== undefined && target.family.unturned === undefined;
  const other = changes.blocks.findIndex(
    (source, block) =>
      !turnsByWindow && turns(config, source) !== isTurnedAt(target.family.unturned, block),
  );
  if (other >= 0) {
    return refusal(
      'num_hidden_layers',
      say`llama.cpp skips the rotary embedding of ${target.architecture} models by block number: block ${changes.blocks[other] ?? 0} would become block ${other}.`,
    );
  }
  const { queryNormsFrom = 0 } = target.family;
  if (config.use_qk_norm === true && changes.blocks.length < queryNormsFrom) {
    return refusal('use_qk_norm', noQueryNorms(target.architecture, queryNormsFrom));
  }
  if (config.qk_layernorm === true) {
    return refusal(
      'qk_layernorm',
      say`A GGUF file holds the query and key norms of all heads in one tensor, the folder one for each head.`,
    );
  }
  const hasWindow = changes.blocks.some(
    (block) => architecture.slidingWindow(config, block) !== undefined,
  );
  if (windows === undefined || !hasWindows(windows, changes.blocks.length)) {
    return hasWindow
      ? refusal(
          'sliding_window',
          say`llama.cpp computes ${target.architecture} models without a window.`,
        )
      : undefined;
  }
  if (!hasWindow) {
    return refusal('layer_types', noneWindowed(target.architecture));
  }
  const { scaledByWidthAt } = windows;
  const width = changes.blocks.length === scaledByWidthAt ? config.hidden_size / heads : headDim;
  return scaledByWidthAt === undefined || (config.query_pre_attn_scalar ?? headDim) === width
    ? undefined
    : refusal(
        'query_pre_attn_scalar',
        say`llama.cpp scales the attention of a ${target.architecture} model of ${changes.blocks.length} blocks by ${width}.`,
      );
}
