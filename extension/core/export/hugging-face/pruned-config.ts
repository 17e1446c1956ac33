import { setField } from '../../parse-json';
import type { Refusal } from '../../models/capability';
import {
  flattened,
  outsideNested,
  baseModelType,
  configEntries,
  prunedTypePrefix,
} from '../../models/transformer/model-config';
import type { ConfigLayout } from '../../models/transformer/model-config';
import type { NamedFamily } from '../../models/model-family';
import type { CompressedEncodings } from '../../models/encodings/encoding-spec';
import type { PatchSpecs } from '../../models/patch/symbolic-patch';
import { modelingClasses, modelingModule } from './modeling-classes';
import { numberedRules, quantization } from './quantized-modules';
import { isUneven } from '../changes';
import { say } from '../../message';
import type { Message } from '../../message';

/** The text of a config.json and the architecture that it names. */
export interface ConfigSource {
  readonly family: NamedFamily;
  readonly configText: string;
}

/** Blocks that remain in a rewritten config.json. */
export interface BlockSelection {
  /** Source block for each block of the result. */
  readonly blocks: readonly number[];
  /** Sublayer ids absent from those blocks, in the new numbering. */
  readonly absent: readonly string[];
  /** Number of experts of every MoE layer by new block number; unchanged if absent. */
  readonly expertCounts?: ReadonlyMap<number, number>;
  /** Channels and key/value heads by new id, if they differ from the model's. */
  readonly widths?: Readonly<Record<string, number>>;
  /** Matrices that are not dense, in the new numbering. */
  readonly compressed?: CompressedEncodings;
  /** True if the LM head becomes a tensor of its own after having been tied to the embedding. */
  readonly unties?: boolean;
  /** Patches of absent sublayers, in the new numbering. */
  readonly patched?: PatchSpecs;
}

type Json = Record<string, unknown>;

/** Default of qwen2's `max_window_layers`: blocks from this one on use sliding windows. */
const defaultMaxWindowLayers = 28;

/** Sentence about how transformers loads a pruned folder. */
export function describeLoading(
  { family, configText }: ConfigSource,
  withModelingFile: boolean,
): Message {
  const config = JSON.parse(configText) as Json;
  const { autoModels, stockModel, isUnlisted = false } = modelingClasses(family, config);
  const loader = isUnlisted && !withModelingFile ? stockModel : autoModels[0];
  const load = `${loader}.from_pretrained`;
  if (family.kind === 'encoder' && family.architecture.isFromHub === true) {
    return config['auto_map'] === undefined
      ? say`transformers, with the model's own code: config.json has no auto_map that refers to it.`
      : say`transformers: ${load}(folder, trust_remote_code=True), with the class that auto_map of config.json names.`;
  }
  return withModelingFile
    ? say`transformers: ${load}(folder, trust_remote_code=True), which runs ${modelingModule}.py from the folder.`
    : say`Any tool that loads ${baseModelType(String(config['model_type']))} models, such as transformers: ${load}(folder).`;
}

/** Edits the text of a config.json so that it describes `selection`; all other text stays as it is. */
export function rewriteConfig(
  { family, configText }: ConfigSource,
  selection: BlockSelection,
): string {
  const config = JSON.parse(configText) as Json;
  const { nested } = configLayout(family);
  let edited = configText;
  for (const [field, value] of changes(family, { ...flattened(config, nested) }, selection)) {
    const path = nested === undefined || outsideNested.includes(field) ? [field] : [nested, field];
    edited = setField(edited, path, value);
  }
  return edited;
}

/** Fields to set; undefined removes a field. */
function changes(
  family: NamedFamily,
  config: Json,
  selection: BlockSelection,
): [string, unknown][] {
  const { blocks, absent, expertCounts = new Map<number, number>(), compressed = {} } = selection;
  const { patched = {}, widths = {} } = selection;
  const layout = configLayout(family);
  const uneven = isUneven(expertCounts);
  const isCompressed = Object.keys(compressed).length > 0;
  const isWidthPruned = Object.keys(widths).length > 0;
  const differs = absent.length > 0 || uneven || isCompressed || isWidthPruned;
  const wanted: Json = {
    ...(layout.isUnnumbered === true
      ? {}
      : Object.fromEntries(
          blockCountFields(family, config).map((field) => [field, blocks.length]),
        )),
    ...(blocks.length === config['num_hidden_layers']
      ? {}
      : layout.byBlockCount?.(config, blocks.length)),
    ...perLayerLists(family, config, blocks),
    ...perLayerFields(config, blocks),
    ...derivedLists(family, config, blocks),
    ...windowedFrom(config, blocks),
    ...quantization(config, blocks),
    ...denseBlocks(family, config, blocks),
    ...layout.pruned?.(config, blocks),
    ...(uneven ? {} : evenExperts(family, config, expertCounts)),
    ...(selection.unties === true ? { tie_word_embeddings: false } : {}),
    ...loading(family, config, differs),
    espalier: differs
      ? {
          version: 1,
          removed: absent,
          ...(uneven ? { experts: otherCounts(family, config, expertCounts) } : {}),
          ...(isWidthPruned ? { widths } : {}),
          ...(isCompressed ? { compressed } : {}),
          ...(Object.keys(patched).length === 0 ? {} : { patches: patched }),
        }
      : undefined,
  };
  return Object.entries(wanted).filter(
    ([field, value]) => JSON.stringify(value) !== JSON.stringify(config[field]),
  );
}

/** The family's name of `num_hidden_layers`. */
function blockCountField(family: NamedFamily): string {
  return configLayout(family).names?.['num_hidden_layers'] ?? 'num_hidden_layers';
}

/**
 * Fields with the block count. Some folders have both; in a decoder that was saved alone, the other field is the
 * encoder's count.
 */
function blockCountFields(family: NamedFamily, config: Json): string[] {
  const own = blockCountField(family);
  const isTwice = 'num_hidden_layers' in config && !('encoder_layers' in config);
  return isTwice ? [own, 'num_hidden_layers'] : [own];
}

const configLayout = ({ architecture }: NamedFamily): ConfigLayout => architecture.config ?? {};

/** Some families count the blocks of a list instead. */
function blockCount(family: NamedFamily, config: Json): unknown {
  const { num_hidden_layers: computed } = configLayout(family).computed?.(config) ?? {};
  return config[blockCountField(family)] ?? computed;
}

/** Explicit lists for values that the family derives from block numbers, if numbers change. */
function derivedLists(family: NamedFamily, config: Json, blocks: readonly number[]): Json {
  const { lists = {}, names = {} } = configLayout(family);
  const changed = Object.entries(lists).flatMap(([list, valueOf]): [string, unknown[]][] => {
    const field = names[list] ?? list;
    if (Array.isArray(config[field])) {
      return [];
    }
    const values = blocks.map((block) => valueOf(config, block));
    const isKept = values.every((value, block) => value === valueOf(config, block));
    return isKept ? [] : [[field, values]];
  });
  return Object.fromEntries(changed);
}

/** Lists that name blocks by their numbers, however many they are. */
const blockNumbers: ReadonlySet<string> = new Set(['mlp_only_layers', 'moe_layers']);
/** `layer_types` and other lists with one entry per block. */
function perLayerLists(family: NamedFamily, config: Json, blocks: readonly number[]): Json {
  const { perBlock = [] } = configLayout(family);
  const lists = Object.entries(config).filter(
    (entry): entry is [string, unknown[]] =>
      (entry[0].includes('layer') || perBlock.includes(entry[0])) &&
      !blockNumbers.has(entry[0]) &&
      Array.isArray(entry[1]) &&
      entry[1].length === blockCount(family, config),
  );
  return Object.fromEntries(
    lists.map(([field, list]) => [field, blocks.map((block) => list[block])]),
  );
}

/** Settings of single blocks in transformers, by block number. */
function perLayerFields({ per_layer_config: fields }: Json, blocks: readonly number[]): Json {
  return typeof fields !== 'object' || fields === null
    ? {}
    : {
        per_layer_config: Object.fromEntries(
          blocks.flatMap((source, block) =>
            Object.hasOwn(fields, source) ? [[block, (fields as Json)[source]]] : [],
          ),
        ),
      };
}

/** The same remaining blocks stay windowed: `max_window_layers` counts those before the first. */
function windowedFrom(config: Json, blocks: readonly number[]): Json {
  const written = config['max_window_layers'];
  const decides = config['use_sliding_window'] === true && !Array.isArray(config['layer_types']);
  const first = typeof written === 'number' ? written : defaultMaxWindowLayers;
  const total = config['num_hidden_layers'] as number;
  if ((written === undefined && !decides) || first >= total) {
    return {};
  }
  return { max_window_layers: blocks.filter((block) => block < first).length };
}

/** Explains why config.json can't represent the remaining blocks if it names modules by number. */
export function explainNotRewritable(
  { family, configText }: ConfigSource,
  blocks: readonly number[],
): Refusal | undefined {
  const config = JSON.parse(configText) as Json & { quantization_config?: Json | null };
  const { quantization_config: fields } = config;
  const { kind, architecture } = family;
  const { modelType } = architecture;
  if (kind === 'encoder' && architecture.firstAttention !== undefined && blocks[0] !== 0) {
    return {
      code: 'config-not-rewritable',
      reason: say`The first block of ${modelType} models has another shape, so no other block can replace it.`,
      remedy: say`Keep the MLP or the attention of block 0.`,
    };
  }
  const renumbers = blocks.some((source, block) => source !== block);
  const { pruned, pruningProblem } = configLayout(family);
  const isLost = pruned !== undefined && pruned(config, blocks) === undefined;
  if (kind === 'stages' && isLost) {
    return {
      code: 'config-not-rewritable',
      reason:
        architecture.period === undefined
          ? say`At least one block must remain in each stage of ${modelType} models.`
          : say`Odd and even blocks of a stage differ in ${modelType} models, and removing this one would swap the ones after it.`,
      remedy: say`Keep a sublayer of this block, or remove another block.`,
    };
  }
  if (kind === 'encoder-decoder') {
    return isLost || pruned === undefined
      ? {
          code: 'blocks-not-removable',
          reason: say`${modelType} models need at least one block in the encoder and one in the decoder.`,
          remedy: say`Keep at least one sublayer in each.`,
        }
      : undefined;
  }
  if (kind === 'decoder' && isLost) {
    return {
      code: 'config-not-rewritable',
      reason:
        pruningProblem ??
        say`${String(config['model_type'])} models define their kinds of blocks by periods, which the remaining blocks don't have.`,
      remedy:
        pruningProblem === undefined
          ? say`Remove single sublayers, the last blocks, or a whole period of blocks.`
          : say`Choose zeroed, or remove other blocks.`,
    };
  }
  const rules = renumbers && fields ? numberedRules(fields) : undefined;
  return rules === undefined
    ? undefined
    : {
        code: 'config-not-rewritable',
        reason: say`Rules for single modules may refer to blocks by number, which would change.`,
        field: `quantization_config.${rules}`,
        remedy: say`Remove single sublayers, or the last blocks, so that all others keep their numbers.`,
      };
}

/** Fields that keep the same blocks dense, if config.json lists them by number. */
function denseBlocks(family: NamedFamily, config: Json, blocks: readonly number[]): Json {
  const { isSparse, sparseFields } =
    family.kind === 'decoder' ? (family.architecture.experts ?? {}) : {};
  if (
    isSparse === undefined ||
    sparseFields === undefined ||
    blocks.every((source, block) => isSparse(config, source) === isSparse(config, block))
  ) {
    return {};
  }
  return sparseFields(blocks.map((source) => isSparse(config, source)));
}

/** The number of experts, as the fields of config.json say it that has one for all blocks. */
function expertFields(
  family: NamedFamily,
  config: Json,
): {
  readonly count: number;
  readonly perToken: number;
  readonly countFields: readonly string[];
  readonly perTokenField: string;
} {
  const layout = configLayout(family);
  const own = layout.names?.['num_experts'] ?? 'num_experts';
  const perTokenField = layout.names?.['num_experts_per_tok'] ?? 'num_experts_per_tok';
  const fields = { ...layout.defaults?.(config), ...config };
  const expertNumber = (
    defaultValue: unknown,
    field: 'num_experts' | 'num_experts_per_tok',
  ): number => (typeof defaultValue === 'number' ? defaultValue : configEntries[field].default);
  const written = [own, 'num_experts'].filter((field) => field in config);
  return {
    count: expertNumber(config[own] ?? fields['num_experts'], 'num_experts'),
    perToken: expertNumber(
      config[perTokenField] ?? fields['num_experts_per_tok'],
      'num_experts_per_tok',
    ),
    perTokenField,
    countFields: written.length === 0 ? [own] : written,
  };
}

/** Fields for MoE layers that all have the same number of experts. */
function evenExperts(family: NamedFamily, config: Json, counts: ReadonlyMap<number, number>): Json {
  const [left] = counts.values();
  const { count, perToken, countFields, perTokenField } = expertFields(family, config);
  return left === undefined || left === count
    ? {}
    : {
        ...Object.fromEntries(countFields.map((field) => [field, left])),
        [perTokenField]: Math.min(perToken, left),
      };
}

/** Fields for MoE layers whose number of experts differs from config.json. */
function otherCounts(family: NamedFamily, config: Json, counts: ReadonlyMap<number, number>): Json {
  const { count } = expertFields(family, config);
  return Object.fromEntries([...counts].filter(([, left]) => left !== count));
}

/** Fields that determine which class loads the folder. */
function loading(family: NamedFamily, config: Json, withModelingFile: boolean): Json {
  const type = String(config['model_type']);
  const base = baseModelType(type);
  const classes = modelingClasses(family, config);
  const map = (config['auto_map'] ?? {}) as Json;
  if (withModelingFile) {
    const others = Object.entries(map).filter(([name]) => !/^Auto(?:Config|Model)/.test(name));
    return {
      model_type: `${prunedTypePrefix}${base}`,
      architectures: [classes.model],
      auto_map: {
        AutoConfig: `${modelingModule}.${classes.config}`,
        ...Object.fromEntries(
          classes.autoModels.map((name) => [name, `${modelingModule}.${classes.model}`]),
        ),
        ...Object.fromEntries(others),
      },
    };
  }
  if (base === type) {
    return {};
  }
  const others = Object.entries(map).filter(
    ([, target]) => !String(target).startsWith(`${modelingModule}.`),
  );
  return {
    model_type: base,
    architectures: [classes.stockModel],
    auto_map: others.length > 0 ? Object.fromEntries(others) : undefined,
  };
}
