import { basename, join } from 'node:path';
import { nameWithType, withoutPart } from '../../checkpoints/gguf-parts';
import type { JobContext } from '../../jobs/job';
import { ggufMixers, ggufSizes, ggufWindows } from '../../models/gguf/gguf-model';
import {
  gatingKey,
  readGating,
  denseBlocks,
  ggufFields,
  windowPattern,
} from '../../models/gguf/gguf-fields';
import { mixerFlags } from '../../models/gguf/mixer-places';
import { describeFamily } from '../../models/gguf/family-description';
import { allRows, curveInGguf, curveKey, curveTensors } from '../../models/gguf/gguf-rows';
import type { LayeredModel } from '../../models/layered-model';
import type { OpenedModel } from '../../models/opened-model';
import { t5Keys } from '../../models/gguf/t5-families';
import { towerBlocks } from '../../models/gguf/t5-gguf';
import { modelOutput } from './encoders/encoder-in-file';
import { multiplyFactors, withoutEmptied } from './block-factors';
import {
  deciArchitecture,
  deciFamilies,
  deciLayout,
  needsDeci,
  widthPrunedKinds,
  widthPrunedSizes,
} from './gguf-sizes';
import { converted, copied, roundedTensor } from './gguf-tensors';
import { bytesByName, planGguf, writeGguf } from './gguf-writer';
import { describeGgufLoading } from '../preview-file';
import { writtenLogits } from '../verify';
import { parametersAfter, planTensors } from '../weight-plan';
import type { WeightWriter, WriteOptions } from '../weight-writer';
import { chosenTypes, roundingError } from './choose-types';
import { tensorImportance } from './importance';
import { explainUnsupportedInLlamaCpp } from './llama-cpp/explain-unsupported';
import type { LlamaCppFacts } from './llama-cpp/rule';
import { headerEntry, curveEntries } from './header-entries';
import { typeMixes } from './type-mixes';
import type { MixedModel, TypeMix } from './type-mixes';
import { ggufBlocks } from '../../models/gguf/gguf-names';
import { multiTokenBlocksKey } from '../../models/gguf/gguf-blocks';
import { ratiosKey, tableBlocks } from '../../models/gguf/deepseek4';
import type { GgufFile } from '../../models/gguf/gguf-file';
import type { GgufKeys } from '../../models/gguf/gguf-keys';
import type { OutputOption } from '../output-options';
import type { Changes } from '../changes';

/** The layouts of a GGUF file, for docs. */
export const describeGgufLayout = {
  blocks: 'A standard model with fewer blocks, or with the same pruned width in all blocks.',
  deci: 'A deci model of llama.cpp, made from `llama` and `nemotron-nas` only. Whole blocks, single attention layers, channels and key/value heads can be removed.',
} as const;

/**
 * GGUF output options: any architecture if whole blocks are removed, Llama-like ones if single sublayers are removed.
 */
export function ggufOptions(
  { family, model }: Pick<OpenedModel, 'family' | 'model'>,
  file: GgufFile,
): OutputOption[] {
  const { summary } = model;
  const facts = headerFacts({ family, model }, file);
  const isDeci = file.keys.architecture === deciArchitecture;
  const takesDeci = (changes: Changes): boolean =>
    isDeci || (deciFamilies.includes(summary.architecture) && needsDeci(changes));
  return (['blocks', 'deci'] as const).map((layout) => ({
    ...{ format: 'gguf', layout },
    isDefault: (changes) => (layout === 'deci') === takesDeci(changes),
    refuse: (changes) =>
      Promise.resolve(
        explainUnsupportedInLlamaCpp(
          { ...facts, layout },
          layout === 'blocks' ? withoutEmptied(model, changes).changes : changes,
        ),
      ),
    writer: async (changes, options, context) =>
      ggufWriter({ model, file, facts }, { changes, layout }, options, context),
  }));
}

/** Keys that default to the head dimension. */
const headSizes = [ggufFields.head_dim, 'attention.value_length', 'rope.dimension_count'];

/** An entry of the header, with its full name. */
type Entry = readonly [key: string, bytes: Buffer];

function integerEntry(keys: GgufKeys, field: string, value: number): Entry {
  const key = keys.name(field);
  return [key, headerEntry.integer(key, value)];
}

function integersEntry(keys: GgufKeys, field: string, values: readonly number[]): Entry {
  const key = keys.name(field);
  return [key, headerEntry.integers(key, values)];
}

/** One flag per block; empty if the file already has the same flags. */
function flagsEntry(keys: GgufKeys, field: string, flags: readonly boolean[] | undefined): Entry[] {
  const key = keys.name(field);
  return flags === undefined ? [] : [[key, headerEntry.flags(key, flags)]];
}

/** Header entries with expert counts, if they change. */
function expertEntries(keys: GgufKeys, { expertCounts, remainingExperts }: Changes): Entry[] {
  const [count] = expertCounts.values();
  if (count === undefined || remainingExperts.size === 0) {
    return [];
  }
  const used = keys.number(ggufFields.num_experts_per_tok);
  return [
    integerEntry(keys, ggufFields.num_experts, count),
    integerEntry(keys, ggufFields.num_experts_per_tok, Math.min(count, used)),
  ];
}

/** Sizes of width-pruned sublayers. */
async function sizeEntries(file: GgufFile, changes: Changes): Promise<Entry[]> {
  const { keys } = file;
  const sizes = await ggufSizes(file);
  const entries = [...widthPrunedSizes(sizes, changes)].map(([field, { each, all }]): Entry => {
    const key = keys.name(field);
    return all === undefined || keys.isList(field)
      ? [key, headerEntry.integers(key, each)]
      : [key, headerEntry.integer(key, all)];
  });
  return entries;
}

/** The size of width-pruned heads, which otherwise follows from their number; of the first block in `deci`. */
async function headEntries(file: GgufFile, changes: Changes, isDeci: boolean): Promise<Entry[]> {
  const { keys } = file;
  const { heads } = await ggufSizes(file);
  const headDim =
    keys.numberIfPresent(ggufFields.head_dim) ?? keys.number(ggufFields.hidden_size) / heads;
  const lacking = widthPrunedKinds(changes).includes('attention')
    ? headSizes.filter((field) => !keys.has(field))
    : [];
  return lacking.map((field) => {
    const key = isDeci ? `${deciArchitecture}.${field}` : keys.name(field);
    return [key, headerEntry.integer(key, headDim)];
  });
}

/** Entries that list or count blocks, if they no longer follow from the numbers of the blocks. */
async function blockEntries(
  { file, facts, model }: GgufWriteSource,
  { blocks }: Changes,
): Promise<Entry[]> {
  const { keys } = file;
  const gating = readGating(keys);
  const ratios = keys.isList(ratiosKey) ? await keys.list(ratiosKey) : undefined;
  return [
    ...flagsEntry(keys, windowPattern, await ggufWindows(file, blocks)),
    ...flagsEntry(keys, mixerFlags, await ggufMixers(file, blocks)),
    ...familyFlags(keys, facts, blocks),
    ...[denseBlocks, tableBlocks].flatMap((key) => {
      const leadingBlocks = keys.numberIfPresent(key);
      return leadingBlocks === undefined
        ? []
        : [integerEntry(keys, key, blocks.filter((source) => source < leadingBlocks).length)];
    }),
    ...(ratios === undefined
      ? []
      : [
          integersEntry(
            keys,
            ratiosKey,
            blocks.map((source) => ratios[source] ?? 0),
          ),
        ]),
    ...(gating === undefined || keys.has(gatingKey) ? [] : [integerEntry(keys, gatingKey, gating)]),
    ...(keys.has(multiTokenBlocksKey) ? [integerEntry(keys, multiTokenBlocksKey, 0)] : []),
    ...(facts.target.family.towers === undefined
      ? []
      : towerEntries(keys, towerBlocks(model.summary, blocks))),
  ];
}

/** The family's own flags of blocks. */
const familyFlags = (
  keys: GgufKeys,
  { config, target }: GgufWriteSource['facts'],
  blocks: readonly number[],
): Entry[] =>
  Object.entries(target.family.blockFlags ?? {}).flatMap(([key, isSo]) =>
    flagsEntry(
      keys,
      key,
      blocks.map((source) => isSo(config, source)),
    ),
  );

/** Number of blocks in each tower of T5. */
const towerEntries = (
  keys: GgufKeys,
  { encoder, decoder }: ReturnType<typeof towerBlocks>,
): Entry[] => [
  integerEntry(keys, ggufFields.num_hidden_layers, encoder),
  ...(decoder === 0 ? [] : [integerEntry(keys, t5Keys.decoderBlocks, decoder)]),
];

/** Facts about the model of a GGUF file, as llama.cpp computes it. */
function headerFacts(
  { family, model }: Pick<OpenedModel, 'family' | 'model'>,
  { header: { file: configFile }, keys: { architecture }, conversion }: GgufFile,
): Omit<LlamaCppFacts, 'layout'> {
  const description = describeFamily(family);
  if (description === undefined) {
    throw new Error('a family that is read from GGUF files is written to them');
  }
  const target = { architecture, family: conversion };
  const { summary } = model;
  const output = modelOutput(model);
  return { source: 'header', configFile, summary, output, target, ...description };
}

/** A GGUF file to write again. */
interface GgufWriteSource {
  readonly model: LayeredModel;
  readonly file: GgufFile;
  readonly facts: Omit<LlamaCppFacts, 'layout'>;
}

/** A GGUF file under its own name. */
async function ggufWriter(
  source: GgufWriteSource,
  { changes: wanted, layout }: { readonly changes: Changes; readonly layout: 'blocks' | 'deci' },
  options: WriteOptions,
  context: JobContext,
): Promise<WeightWriter> {
  const { model, file } = source;
  const { header, keys } = file;
  const { changes, factors } = withoutEmptied(model, wanted);
  const products = await multiplyFactors(factors, context.cancellation);
  const isDeci = layout === 'deci';
  const tensors = new Map(header.tensors.map((tensor) => [tensor.name, tensor]));
  const checkpoint = { tensors, files: header.files, entry: header.file, metadata: {} };
  const remaining = planTensors(model, checkpoint, changes).filter(
    ({ tensor }) => !isPredictionTensor(model, tensor.name),
  );
  const blocks = isDeci ? await deciLayout(file, changes) : { blocks: changes.blocks };
  const asked = options.types ?? {};
  const types = chosenTypes(
    remaining.map(({ name, tensor }) => ({
      ...{ name, sourceName: tensor.name },
      ...{ shape: tensor.shape, stored: tensor },
    })),
    await mixedModel(source, changes),
    asked,
  );
  const written = remaining.map((planned) => {
    const { name, tensor } = planned;
    const type = types.get(name);
    const product = products.get(tensor.name);
    if (product !== undefined) {
      const changed = (value: number): number => value * product;
      return converted(name, { ...allRows(tensor), type: 'F32', changed });
    }
    const rounded = asked.rounded?.get(name);
    if (type !== undefined && rounded !== undefined) {
      return roundedTensor(name, { shape: tensor.shape, type }, rounded);
    }
    const importance = tensorImportance(asked.importance, tensor, changes);
    return type === undefined
      ? copied(planned)
      : converted(name, {
          ...{ shape: tensor.shape, type },
          rows: (planned.ranges ?? [tensor]).flatMap((part) => allRows(part).rows),
          ...(importance === undefined ? {} : { importance }),
        });
  });
  const replaced = new Map<string, Buffer>([
    ...typeEntries(asked.mix),
    ...expertEntries(keys, changes),
    ...(await blockEntries(source, changes)),
    ...(isDeci ? [] : await sizeEntries(file, changes)),
    ...(await headEntries(file, changes, isDeci)),
    ...(header.metadata.has(curveKey('beta'))
      ? await curveEntries(
          { tensors: curveTensors(keys, header) },
          changes.blocks,
          (block) => `${ggufBlocks}.${block}.${curveInGguf}`,
          context.cancellation,
        )
      : []),
  ]);
  const plan = await planGguf(header, { ...blocks, replaced }, written);
  const name = nameWithType(withoutPart(basename(header.file)), asked.mix);
  return {
    bytes: plan.bytes,
    tensorBytes: bytesByName(plan),
    tensorTypes: types,
    parameters: parametersAfter(model, changes) - [...factors.values()].flat().length,
    layout,
    loadsWith: describeGgufLoading(name, changes, isDeci),
    texts: {},
    roundingError: remaining.reduce((most, { name, tensor }) => {
      const type = types.get(name);
      return Math.max(most, type === undefined ? 0 : roundingError(tensor, type));
    }, 0),
    write: async (folder, copier) => {
      await writeGguf(join(folder, name), plan, copier);
      return [name];
    },
    output: async (folder, input) => writtenLogits(join(folder, name), input, options, context),
  };
}

/** True for tensors of a multi-token prediction block, whose input states have changed. */
function isPredictionTensor({ summary }: LayeredModel, name: string): boolean {
  const [, block] = /^blk\.(\d+)\./.exec(name) ?? [];
  return Number(block ?? -1) >= summary.blocks;
}

/** Facts on which a mix of types depends. */
async function mixedModel(
  { file, model }: GgufWriteSource,
  { blocks, expertCounts }: Changes,
): Promise<Omit<MixedModel, 'hasImportance'>> {
  const { heads, keyValueHeads } = await ggufSizes(file);
  const [experts = 0] = expertCounts.values();
  const { encoder } = towerBlocks(model.summary, blocks);
  return { blocks: encoder, heads, keyValueHeads, experts, architecture: file.keys.architecture };
}

/** Header entries that name a mix of types. */
function typeEntries(mix: TypeMix | undefined): ReadonlyMap<string, Buffer> {
  const values: readonly (readonly [string, number])[] =
    mix === undefined
      ? []
      : [
          ['general.file_type', typeMixes[mix].fileType],
          ['general.quantization_version', 2],
        ];
  return new Map(values.map(([key, value]) => [key, headerEntry.integer(key, value)]));
}
