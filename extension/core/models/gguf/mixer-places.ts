import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { DeltaRule } from '../parts/mixers/delta-rule';
import { mixerKind } from '../parts/mixers/mixer-form';
import type { MixerForm } from '../parts/mixers/mixer-form';
import type { MixerParts } from '../parts/mixers/mixer-kind';
import type { MixerNames } from '../transformer/architecture';
import { allRows } from './gguf-rows';
import type { Rows, RowsOfTensor } from './gguf-rows';
import { partAndKind, placeModule, placeTensor } from './tensor-placement';
import type { BothNames, Place, Places } from './tensor-placement';
import { keyValueHeadCount } from './gguf-blocks';
import type { GgufBlocks } from './gguf-blocks';
import type { GgufKeys } from './gguf-keys';
import type { GgufTraits } from './gguf-traits';

/**
 * Adds the locations of the tensors of a block's SSM or linear-attention layer. Both sides list
 * them in the same order.
 */
export function placeMixer(places: Places, names: BothNames): void {
  const [from, to] = [names.known.mixer, names.own.mixer];
  if (from === undefined || to === undefined) {
    return;
  }
  const [form, formInFile] = [from.form(names.config), to.form(names.config)];
  const [parts, inFile] = [partNames(from, form), partNames(to, formInFile)];
  placeLinears(places, form, formInFile, parts.linears, inFile.linears);
  const headOrder = valueHeadOrder(form, formInFile);
  for (const [i, name] of parts.convolutions.entries()) {
    const part = inFile.convolutions[i];
    placeModule(places, name, part, (tensor) => {
      const [channels = 0, ...rest] = tensor.shape;
      return {
        // One of the three is stored with four dimensions.
        shape:
          rest.length === 0
            ? tensor.shape
            : parts.convolutions.length > 1
              ? [1, channels, 1, rest.at(-1) ?? 1]
              : [channels, rest.at(-1) ?? 1],
        rows: ordered(tensor, headOrder?.mixed),
      };
    });
  }
  for (const [i, name] of parts.norms.entries()) {
    placeModule(places, name, inFile.norms[i], ({ shape }) => ({
      shape: form.kind === 'state-space' ? [form.groups, (shape[0] ?? 0) / form.groups] : shape,
    }));
  }
  for (const [i, name] of parts.tensors.entries()) {
    const isFactors = i === 0;
    const isColumn = form.kind === 'state-space' && i !== 1;
    placeTensor(places, name, inFile.tensors[i] ?? '');
    const place: Place = places.get(name) ?? (() => []);
    places.set(name, (tensor, kept) =>
      place(tensor, kept).map((piece) => ({
        ...piece,
        ...(isColumn ? { shape: [...tensor.shape, 1] } : {}),
        ...(isFactors ? { changed: (value: number) => -Math.exp(value) } : {}),
        ...(form.kind === 'delta-rule' && tensor.shape.length === 1
          ? { rows: ordered(tensor, headOrder?.single) }
          : {}),
      })),
    );
  }
}

/**
 * Names below the block for each list of tensors. Names of single tensors include the part after
 * the dot.
 */
type PartNames = Readonly<Record<keyof MixerParts, readonly string[]>>;

function partNames({ module }: MixerNames, form: MixerForm): PartNames {
  const named = (name: string): LazyTensor => ({
    ...{ name: module === '' ? name : `${module}.${name}`, dtype: 'F32', shape: [] },
    ...{ file: '', offset: 0, length: 0 },
  });
  const part = (name: string): { readonly weight: LazyTensor } => ({ weight: named(name) });
  const parts = mixerKind(form).find(form, {
    hiddenSize: 1,
    linear: part,
    convolution: part,
    norm: part,
    rows: () => 0,
    take: named,
  });
  const names = (list: readonly { readonly weight?: LazyTensor }[]): string[] =>
    list.map(({ weight }) => weight?.name ?? '');
  return {
    linears: names(parts.linears),
    convolutions: names(parts.convolutions),
    norms: names(parts.norms),
    tensors: parts.tensors.map(({ name }) => name),
  };
}

function placeLinears(
  places: Places,
  form: MixerForm,
  formInFile: MixerForm,
  names: readonly string[],
  inFile: readonly string[],
): void {
  if (form.kind === 'delta-rule' && form.names.inputs === 'by-head') {
    const [joined = '', ...rest] = names;
    const [queryKeyValue = '', gate = '', ...others] = inFile;
    places.set(`${joined}.weight`, (tensor) => splitHeads(form, tensor, [queryKeyValue, gate]));
    for (const [i, name] of rest.entries()) {
      placeModule(places, name, others[i]);
    }
    return;
  }
  const headOrder = valueHeadOrder(form, formInFile);
  const orders = [headOrder?.mixed, headOrder?.wide, headOrder?.single, headOrder?.single];
  for (const [i, name] of names.entries()) {
    const isOutput = i === names.length - 1;
    placeModule(places, name, inFile[i], (tensor) => ({
      rows:
        isOutput && headOrder !== undefined
          ? allRows(tensor).rows.map((rows) => ({ ...rows, columns: headOrder.wide }))
          : ordered(tensor, isOutput ? undefined : orders[i]),
      ...scaled(form, i),
    }));
  }
}

/** Factors that the conversion multiplies into the weights of SSM layers. */
function scaled(form: MixerForm, linear: number): Partial<RowsOfTensor> {
  if (form.kind !== 'state-space' || form.scales === undefined) {
    return {};
  }
  const { heads, headDim, groups, stateSize, scales, inputScale = 1, outputScale = 1 } = form;
  if (linear > 0) {
    return { changed: (value) => value * outputScale };
  }
  const [width, shared] = [heads * headDim, groups * stateSize];
  const factors = [width, width, shared, shared, heads].flatMap((size, i) =>
    Array.from({ length: size }, () => (scales[i] ?? 1) * inputScale),
  );
  return { changed: (value, row) => value * (factors[row] ?? 1) };
}

const ordered = (tensor: LazyTensor, order: Rows['order']): readonly Rows[] =>
  allRows(tensor).rows.map((rows) => (order === undefined ? rows : { ...rows, order }));

/** Query, key and value of all heads, and their gates, of a matrix that has them key head by key head (conversion/qwen.py). */
function splitHeads(
  { keyHeads, valueHeads, keyDim, valueDim }: DeltaRule,
  tensor: LazyTensor,
  [queryKeyValue, gate]: readonly [string, string],
): ReturnType<Place> {
  const wide = (valueHeads / keyHeads) * valueDim;
  const perHead = 2 * keyDim + 2 * wide;
  const rowRange = (start: number, size: number): number[] =>
    Array.from(
      { length: keyHeads * size },
      (_, row) => Math.floor(row / size) * perHead + start + (row % size),
    );
  const mixed = [
    ...rowRange(0, keyDim),
    ...rowRange(keyDim, keyDim),
    ...rowRange(2 * keyDim, wide),
  ];
  return [[queryKeyValue, mixed] as const, [gate, rowRange(2 * keyDim + wide, wide)] as const].map(
    ([name, source]) => {
      const [part] = partAndKind(`${name}.weight`);
      return {
        ...{ part, kind: 'weight', shape: [source.length, tensor.shape[1] ?? 1] },
        rows: [{ tensor, count: source.length, order: (row) => source[row] ?? 0 }],
      };
    },
  );
}

type Order = (row: number) => number;

/** Order of value heads if the file interleaves them over the key heads, and the folder doesn't. */
function valueHeadOrder(
  form: MixerForm,
  inFile: MixerForm,
): { readonly single: Order; readonly wide: Order; readonly mixed: Order } | undefined {
  if (form.kind !== 'delta-rule' || inFile.kind !== 'delta-rule' || inFile.takesTurns !== true) {
    return undefined;
  }
  const { keyHeads, valueHeads, keyDim, valueDim } = form;
  const perGroup = valueHeads / keyHeads;
  const single: Order = (head) => (head % keyHeads) * perGroup + Math.floor(head / keyHeads);
  const wide: Order = (row) => single(Math.floor(row / valueDim)) * valueDim + (row % valueDim);
  const before = 2 * keyHeads * keyDim;
  return {
    single,
    wide,
    mixed: (row) => (row < before ? row : before + wide(row - before)),
  };
}

/** Flags of blocks with a mixer, or else of how many blocks the last has attention. */
export const mixerFlags = 'attention.recurrent_layers';
/** Header key of the period of full-attention blocks. */
export const attentionInterval = 'full_attention_interval';
const defaultInterval = 4;

/** Values of `layer_types` for blocks with attention, with an MLP only and with experts only. */
const attends = 'full_attention';
const dense = 'mlp';
const sparse = 'moe';

/**
 * `layer_types` of a family with mixers; undefined for others.
 * @throws UserError naming the key at fault.
 */
export async function readMixed(
  keys: GgufKeys,
  { mixed, hasSingles = false }: GgufTraits,
  { blockKeyValueHeads, blockInnerSizes }: GgufBlocks,
): Promise<readonly string[] | undefined> {
  if (mixed === undefined) {
    return undefined;
  }
  if (hasSingles) {
    const second = (keys.numberIfPresent('expert_count') ?? 0) > 0 ? sparse : dense;
    return blockKeyValueHeads.map((heads, block) =>
      blockInnerSizes[block] !== 0 ? second : heads === 0 ? mixed : attends,
    );
  }
  if (keys.isList(keyValueHeadCount)) {
    return blockKeyValueHeads.map((heads) => (heads === 0 ? mixed : attends));
  }
  const flags = await keys.flags(mixerFlags, keys.blockCount());
  return blockKeyValueHeads.map((_, block) =>
    (typeof flags === 'object' ? flags[block] === true : isMixedAt(keys, block)) ? mixed : attends,
  );
}

function isMixedAt(keys: GgufKeys, block: number): boolean {
  const interval = keys.numberIfPresent(attentionInterval) ?? defaultInterval;
  return (block + 1) % interval !== 0;
}

/**
 * Flag of each remaining block: true if it has an SSM or linear-attention layer. Returns undefined
 * if the source already stores a list or its interval is still correct.
 * @param types `layer_types` of the source
 * @param kept source block of each remaining block
 */
export function remainingMixerFlags(
  keys: GgufKeys,
  types: readonly string[],
  kept: readonly number[],
): readonly boolean[] | undefined {
  const flags = kept.map((source) => types[source] !== attends);
  const isSaid = keys.has(mixerFlags) || keys.isList(keyValueHeadCount);
  return isSaid || flags.every((flag, block) => flag === isMixedAt(keys, block))
    ? undefined
    : flags;
}
