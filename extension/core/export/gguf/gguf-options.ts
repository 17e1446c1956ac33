import { basename, join } from 'node:path';
import type { GgufHeader } from '../../checkpoints/gguf';
import { nameWithType, withoutPart } from '../../checkpoints/gguf-part-names';
import type { JobContext } from '../../jobs/job';
import { takesEncodings, takesPatches } from '../../models/capabilities';
import { toRefusal } from '../../models/capability';
import type { Refusal } from '../../models/capability';
import { ggufMixers, ggufSizes, ggufWindows } from '../../models/gguf/gguf-model';
import { gatingKey, readGating } from '../../models/gguf/expert-gating';
import { denseBlocks, ggufFields, windowPattern } from '../../models/gguf/gguf-fields';
import { mixerFlags } from '../../models/gguf/gguf-mixers';
import type { GgufFamily } from '../../models/gguf/gguf-traits';
import { allRows } from '../../models/gguf/gguf-rows';
import type { LayeredModel } from '../../models/layered-model';
import type { MatrixEncoding } from '../../models/matrix-encoding';
import type { ModelFamily } from '../../models/model-family';
import type { ModelHeaders } from '../../models/model-headers';
import type { OpenedModel } from '../../models/opened-model';
import { explainOtherTowers, isT5, t5Keys, towerBlocks } from '../../models/gguf/t5-gguf';
import { asDecoder } from './folder-model';
import { multiplyFactors, withoutEmptied } from './block-factors';
import {
  deciArchitecture,
  deciFamilies,
  deciLayout,
  needsDeci,
  explainDeciUnsupported,
} from './gguf-deci';
import { widthPrunedKinds, widthPrunedSizes, whyOtherWidths } from './gguf-sizes';
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
import { headerEntry } from './header-entries';
import { typeMixes } from './type-mixes';
import type { MixedModel, TypeMix } from './type-mixes';
import { curveInGguf, curveKey, curveTensors } from '../../models/gguf/gguf-curves';
import { ggufBlocks } from '../../models/gguf/gguf-names';
import { curveEntries } from './curve-entries';
import { furtherBlocks } from '../../models/gguf/gguf-blocks';
import { ratiosKey, tableBlocks } from '../../models/gguf/deepseek4';
import { GgufKeys } from '../../models/gguf/gguf-keys';
import type { OutputOption } from '../output-options';
import { explainPartialBlocks } from '../changes';
import type { Changes } from '../changes';
import { say } from '../../message';

/** The layouts of a GGUF file, for docs. */
export const describeGgufLayout = {
  blocks: 'A standard model with fewer blocks, or with the same pruned width in all blocks.',
  deci: 'A deci model of llama.cpp, made from `llama` and `nemotron-nas` only. It can lose whole blocks, single attentions, channels and key/value heads.',
} as const;

type GgufHeaders = Extract<ModelHeaders, { format: 'gguf' }>;

/**
 * Formats in which a GGUF file can be written: any architecture after removing whole blocks,
 * Llama-like ones after removing single sublayers.
 */
export function ggufOptions(
  { family, model }: Pick<OpenedModel, 'family' | 'model'>,
  { header, conversion }: GgufHeaders,
): OutputOption[] {
  const { summary } = model;
  const settled = (changes: Changes): Changes => withoutEmptied(model, changes).changes;
  const keys = new GgufKeys(header, header.file);
  const isDeci = keys.architecture === deciArchitecture;
  const facts = headerFacts(keys.architecture, header, family, conversion);
  const takesDeci = (changes: Changes): boolean =>
    isDeci || (deciFamilies.includes(summary.architecture) && needsDeci(changes));
  const as = (
    layout: keyof typeof describeGgufLayout,
  ): Pick<OutputOption, 'format' | 'layout' | 'writer'> => ({
    ...{ format: 'gguf', layout },
    writer: async (changes, options, context) =>
      ggufWriter({ model, header, facts }, { changes, layout }, options, context),
  });
  return [
    {
      ...as('blocks'),
      isDefault: (changes) => !takesDeci(changes),
      refuse: (asked) => {
        const changes = settled(asked);
        if (isDeci) {
          return Promise.resolve({
            code: 'stays-deci',
            reason: say`A deci model can only be written as deci.`,
            remedy: say`Choose deci.`,
          });
        }
        return Promise.resolve(
          explainUnsupportedChanges(changes) ??
            explainPartialBlocks(summary, changes) ??
            whyOtherWidths(summary, conversion, changes) ??
            (facts === undefined
              ? whyOtherTowers(keys, summary, changes)
              : explainUnsupportedInLlamaCpp(facts, changes)),
        );
      },
    },
    {
      ...as('deci'),
      isDefault: takesDeci,
      refuse: (changes) =>
        Promise.resolve(
          explainUnsupportedChanges(changes) ?? explainDeciUnsupported(summary, changes),
        ),
    },
  ];
}

/** Why a GGUF file cannot hold what changes besides the removal. */
export function explainUnsupportedChanges({ matrices, patches }: Changes): Refusal | undefined {
  const gguf = { format: 'gguf' } as const;
  return patches.size > 0
    ? toRefusal(takesPatches(gguf))
    : [...matrices.values()].some((form) => !isFloatMatrix(form))
      ? toRefusal(takesEncodings(gguf))
      : undefined;
}

/** True if only the values of a matrix of floats change, as those of a router. */
const isFloatMatrix = (form: MatrixEncoding): boolean =>
  form.kind === 'dense' && ['F32', 'F16', 'BF16'].includes(form.weight.dtype);

/** Keys of what is the size of a head where they are absent. */
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

/** One flag for each block; nothing where the file says so already. */
function flagsEntry(keys: GgufKeys, field: string, flags: readonly boolean[] | undefined): Entry[] {
  const key = keys.name(field);
  return flags === undefined ? [] : [[key, headerEntry.flags(key, flags)]];
}

/** Header entries with numbers of experts, if they change. */
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
async function sizeEntries(header: GgufHeader, keys: GgufKeys, changes: Changes): Promise<Entry[]> {
  const sizes = await ggufSizes(header);
  const entries = [...widthPrunedSizes(sizes, changes)].map(([field, { each, all }]): Entry => {
    const key = keys.name(field);
    return all === undefined || keys.isList(field)
      ? [key, headerEntry.integers(key, each)]
      : [key, headerEntry.integer(key, all)];
  });
  return entries;
}

/** The size of width-pruned heads, which otherwise follows from their number; of the first block in `deci`. */
async function headEntries(
  header: GgufHeader,
  keys: GgufKeys,
  changes: Changes,
  isDeci: boolean,
): Promise<Entry[]> {
  const { heads } = await ggufSizes(header);
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
  { header, facts, model }: GgufWriteSource,
  keys: GgufKeys,
  { blocks }: Changes,
): Promise<Entry[]> {
  const gating = readGating(keys);
  const ratios = keys.isList(ratiosKey) ? await keys.list(ratiosKey) : undefined;
  return [
    ...flagsEntry(keys, windowPattern, await ggufWindows(header, blocks)),
    ...flagsEntry(keys, mixerFlags, await ggufMixers(header, blocks)),
    ...(facts === undefined ? [] : familyFlags(keys, facts, blocks)),
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
    ...(keys.has(furtherBlocks) ? [integerEntry(keys, furtherBlocks, 0)] : []),
    ...(isT5(keys) ? towerEntries(keys, towerBlocks(model.summary, blocks)) : []),
  ];
}

/** The family's own flags of blocks. */
const familyFlags = (
  keys: GgufKeys,
  { config, target }: LlamaCppFacts,
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

function whyOtherTowers(
  keys: GgufKeys,
  summary: LayeredModel['summary'],
  { blocks }: Changes,
): Refusal | undefined {
  const refusal = explainOtherTowers(summary, blocks);
  return refusal && { ...refusal, field: keys.name(t5Keys.decoderBlocks) };
}

/** Facts about the model of a GGUF file, as llama.cpp computes it; undefined for T5. */
function headerFacts(
  architecture: string,
  { file: configFile }: GgufHeader,
  family: ModelFamily,
  conversion: GgufFamily | undefined,
): LlamaCppFacts | undefined {
  const decoder = asDecoder(family);
  return conversion === undefined || decoder === undefined
    ? undefined
    : { source: 'header', configFile, target: { architecture, family: conversion }, ...decoder };
}

/** A GGUF file to write again. */
interface GgufWriteSource {
  readonly model: LayeredModel;
  readonly header: GgufHeader;
  readonly facts: LlamaCppFacts | undefined;
}

/** A GGUF file under its own name. */
async function ggufWriter(
  source: GgufWriteSource,
  { changes: wanted, layout }: { readonly changes: Changes; readonly layout: 'blocks' | 'deci' },
  options: WriteOptions,
  context: JobContext,
): Promise<WeightWriter> {
  const { model, header } = source;
  const { changes, factors } = withoutEmptied(model, wanted);
  const products = await multiplyFactors(factors, context.cancellation);
  const isDeci = layout === 'deci';
  const tensors = new Map(header.tensors.map((tensor) => [tensor.name, tensor]));
  const checkpoint = { tensors, files: header.files, entry: header.file, metadata: {} };
  const remaining = planTensors(model, checkpoint, changes).filter(
    ({ tensor }) => !isPredictionTensor(model, tensor.name),
  );
  const blocks = isDeci ? await deciLayout(header, changes) : { blocks: changes.blocks };
  const asked = options.types ?? {};
  const types = chosenTypes(
    remaining.map(({ name, tensor }) => ({ name, shape: tensor.shape, stored: tensor })),
    await mixedModel(source, changes),
    asked,
    header.file,
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
  const keys = new GgufKeys(header, header.file);
  const replaced = new Map<string, Buffer>([
    ...typeEntries(asked.mix),
    ...expertEntries(keys, changes),
    ...(await blockEntries(source, keys, changes)),
    ...(isDeci ? [] : await sizeEntries(header, keys, changes)),
    ...(await headEntries(header, keys, changes, isDeci)),
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
  { header, model }: GgufWriteSource,
  { blocks, expertCounts }: Changes,
): Promise<Omit<MixedModel, 'hasImportance'>> {
  const { heads, keyValueHeads } = await ggufSizes(header);
  const [experts = 0] = expertCounts.values();
  const keys = new GgufKeys(header, header.file);
  const { encoder } = towerBlocks(model.summary, blocks);
  return { blocks: encoder, heads, keyValueHeads, experts, architecture: keys.architecture };
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
