import { elementCount, sliceRows, storedParts } from '../checkpoints/lazy-tensor';
import type { Checkpoint, LazyTensor } from '../checkpoints/lazy-tensor';
import { encodingParameters } from '../models/encodings/encoding-facts';
import { isStorable, storedTensors } from '../models/encodings/stored-encodings';
import type { LayeredModel } from '../models/layered-model';
import type { LinearLayer, MatrixEncoding } from '../models/matrix-encoding';
import { routerLayers } from '../models/layered-model';
import { listMatrices } from './matrix-changes';
import { patchParameters } from '../models/patch/patched-layout';
import { RemovableUnits } from '../models/units';
import type { Changes } from './changes';
import { sharedTensorName } from '../models/shared-modules';

/** A tensor of the source under its name in the result. */
export interface PlannedTensor {
  readonly name: string;
  readonly tensor: LazyTensor;
  /** File of the source that contains the original tensor; the tensor's own file if absent. */
  readonly home?: string;
  /** True to write zeros instead of the tensor. */
  readonly zeros?: boolean;
  /** Remaining parts of the source's tensor, concatenated, if some of its experts are removed. */
  readonly ranges?: readonly LazyTensor[];
}

/** One weight file of the result. */
export interface Shard {
  readonly fileName: string;
  readonly tensors: readonly PlannedTensor[];
}

/**
 * The remaining tensors, in the order of the source's files and offsets, with new block numbers and
 * with new encodings of matrices. Tensors that the architecture doesn't use remain unless they
 * belong to a removed module or block.
 */
export function planTensors(
  model: LayeredModel,
  checkpoint: Checkpoint,
  changes: Changes,
): PlannedTensor[] {
  const newPlaces = new Map(
    placesAfter(model, changes).map((place, i) => [changes.blocks[i] ?? 0, place]),
  );
  const modules = removedModules(model, changes);
  const staying = stayingNames(model, changes);
  const { sharedModules, ...names } = model.blockNames ?? {};
  const sized = new Set(names.sizedByBlocks);
  const shared = new Set(names.sharedByBlocks);
  const mixtures = remainingExpertsByBlock(model, changes);
  const replaced = replacedTensors(model, changes);
  const stored = sortByFile(checkpoint);
  const remaining = stored.flatMap((tensor): PlannedTensor[] => {
    const place = placeInBlock(model, tensor.name);
    if (
      place === undefined &&
      changes.blocks.length < model.summary.blocks &&
      sized.has(tensor.name)
    ) {
      return [];
    }
    if (place === undefined || place.block >= model.summary.blocks) {
      return encodeAs({ name: tensor.name, tensor }, replaced);
    }
    const isShared = shared.has(tensor.name);
    const own =
      sharedModules?.module === place.module
        ? sharedTensorName(sharedModules, place, changes.blocks)
        : place;
    const newPlace =
      own === undefined
        ? undefined
        : (newPlaces.get(own.block) ??
          (isShared ? firstBlockPlace(model, place.block) : undefined));
    const experts = mixtures.get(place.block);
    const stays = isShared || staying.has(tensor.name);
    const goes = modules.has(`${place.block}.${place.module}`) && !stays;
    if (own === undefined || newPlace === undefined || goes) {
      return [];
    }
    const left =
      experts === undefined ? [{ name: own.rest, tensor }] : withExperts(experts, tensor, own.rest);
    return left
      .flatMap((planned) => encodeAs(planned, replaced))
      .map((planned) => ({ ...planned, name: `${newPlace}${planned.name}` }));
  });
  const last = stored.at(-1);
  const home = last && homeFile(last);
  return [...remaining, ...patchTensors(model, changes, home)];
}
/** Prefix of the first block of a list, in the source and in every result. */
/** Prefix of the tensor names in the first block of a list, in the source and in every result. */
function firstBlockPlace({ blockNames }: LayeredModel, block: number): string {
  const { prefix = '', places } = blockNames ?? {};
  const [, list = prefix] = /^(.*\.)\d+\.$/.exec(places?.[block] ?? '') ?? [];
  return `${list}0.`;
}

/** Tensors of new patches, named by the modules they replace. */
function patchTensors(
  model: LayeredModel,
  { patches, blocks }: Changes,
  home: string | undefined,
): PlannedTensor[] {
  const { prefix = '' } = model.blockNames ?? {};
  return model.summary.sublayers.flatMap(({ id, block }, index) =>
    Object.entries(patches.get(id)?.tensors ?? {}).map(([name, tensor]) => ({
      name: `${prefix}${blocks.indexOf(block)}.${model.sublayer(index).patchModule ?? ''}.${name}`,
      tensor,
      ...(home === undefined ? {} : { home }),
    })),
  );
}

/** Tensors written instead of a tensor. */
interface Replacement {
  /** Name of the matrix in its block, if the tensor is stored under another name. */
  readonly name: string | undefined;
  readonly form: MatrixEncoding;
}

/**
 * Replacements of each tensor of the source whose matrix gets another encoding. The list is empty
 * if another tensor's replacement includes this one.
 */
function replacedTensors(
  model: LayeredModel,
  { matrices, unties }: Changes,
): Map<string, readonly Replacement[]> {
  const replaced = new Map<string, readonly Replacement[]>();
  for (const { id, encoding: before } of [...allLayers(model), ...routerLayers(model)]) {
    const form = matrices.get(id);
    if (form !== undefined) {
      const names = before === undefined ? [id] : storedTensors(id, before).map(([name]) => name);
      const name = before === undefined ? undefined : placeInBlock(model, id)?.rest;
      names.forEach((one, i) => replaced.set(one, i === 0 ? [{ name, form }] : []));
    }
  }
  for (const { id, weight, encoding: before, place, tiedTo } of model.embeddingAndHeadMatrices) {
    // A matrix that was stored once, for both uses, is now stored under both names.
    const isSplit = unties && tiedTo !== undefined;
    const form = matrices.get(id) ?? (isSplit ? (before ?? { kind: 'dense', weight }) : undefined);
    const isWritten = place === 'embedding' || isSplit || tiedTo === undefined;
    if (form !== undefined && isWritten) {
      const names =
        before === undefined
          ? [weight.name]
          : storedTensors(weight.name, before).map(([name]) => name);
      names.forEach((one, i) => {
        const earlier = replaced.get(one) ?? [];
        replaced.set(one, i === 0 ? [...earlier, { name: id, form }] : earlier);
      });
    }
  }
  return replaced;
}

function encodeAs(
  planned: PlannedTensor,
  replaced: ReadonlyMap<string, readonly Replacement[]>,
): PlannedTensor[] {
  const { tensor } = planned;
  const replacements = replaced.get(tensor.name);
  return replacements === undefined
    ? [planned]
    : replacements.flatMap(({ name = planned.name, form }) =>
        replacementTensors(name, form).map(([part, stored]) => ({
          name: part,
          tensor: stored,
          home: homeFile(tensor),
        })),
      );
}

/** Tensors of an encoding by name. A tensor that is no weight, as the bias of a router, keeps its name. */
const replacementTensors = (name: string, form: MatrixEncoding): [string, LazyTensor][] =>
  form.kind === 'dense' && !isStorable(name) ? [[name, form.weight]] : storedTensors(name, form);

function allLayers(model: LayeredModel): LinearLayer[] {
  return model.summary.sublayers.flatMap((_, index) => [...model.sublayer(index).linearLayers]);
}

/** MoE layer from which experts are removed. */
interface RemainingExperts {
  readonly remaining: readonly number[];
  /** Names of stored tensors that have a row for each expert. */
  readonly byRow: ReadonlySet<string>;
}

/** MoE layers from which experts are removed, by block of the source. */
function remainingExpertsByBlock(
  model: LayeredModel,
  changes: Changes,
): Map<number, RemainingExperts> {
  const found = new Map<number, RemainingExperts>();
  for (const [index, { id, block }] of model.summary.sublayers.entries()) {
    const remaining = changes.remainingExperts.get(id);
    const tensors = model.sublayer(index).expertTensors;
    if (remaining !== undefined && tensors !== undefined) {
      const stored = tensors.experts.flat().flatMap(storedParts);
      const joined = stored.flatMap(({ sliceOf }) => sliceOf ?? []);
      found.set(block, {
        remaining,
        byRow: new Set([...tensors.byRow.map(({ name }) => name), ...joined]),
      });
    }
  }
  return found;
}

/** Remaining part of a tensor under its name in the block; empty if its expert is removed. */
function withExperts(
  { remaining, byRow }: RemainingExperts,
  tensor: LazyTensor,
  rest: string,
): PlannedTensor[] {
  if (byRow.has(tensor.name)) {
    // The bias of ERNIE's routers is [1, count].
    const axis = tensor.shape.findIndex((size) => size > 1);
    const stack = { ...tensor, shape: tensor.shape.slice(axis) };
    const rows = remaining.map((expert) => sliceRows(stack, expert, expert + 1));
    const shape = tensor.shape.with(axis, remaining.length);
    const length = rows.reduce((sum, row) => sum + row.length, 0);
    return [{ name: rest, tensor: { ...tensor, shape, length }, ranges: rows }];
  }
  const [, before, number, after] = /^(.*\bexperts\.)(\d+)(\..*)$/.exec(rest) ?? [];
  if (number === undefined) {
    return [{ name: rest, tensor }];
  }
  const expert = remaining.indexOf(Number(number));
  return expert < 0 ? [] : [{ name: `${before}${expert}${after}`, tensor }];
}

/** All tensors, with zeros for the output projections of the removed sublayers. */
export function planZeroed(
  model: LayeredModel,
  checkpoint: Checkpoint,
  changes: Changes,
): PlannedTensor[] {
  const removedIds = new Set(changes.removed);
  const zeroed = new Set(
    model.summary.sublayers.flatMap(({ id }, index) =>
      removedIds.has(id)
        ? model.sublayer(index).outputTensors.map(({ name, sliceOf = name }) => sliceOf)
        : [],
    ),
  );
  return sortByFile(checkpoint).map((tensor) => ({
    name: tensor.name,
    tensor,
    ...(zeroed.has(tensor.name) ? { zeros: true } : {}),
  }));
}

const homeFile = ({ file, home = file }: LazyTensor): string => home;

function sortByFile(checkpoint: Checkpoint): LazyTensor[] {
  const fileOrder = new Map(checkpoint.files.map((file, index) => [file, index]));
  return [...checkpoint.tensors.values()].sort(
    (a, b) =>
      (fileOrder.get(homeFile(a)) ?? 0) - (fileOrder.get(homeFile(b)) ?? 0) || a.offset - b.offset,
  );
}

/** Name prefixes of the result's blocks. The blocks of a list are numbered from its first. */
export function placesAfter(
  { blockNames }: Pick<LayeredModel, 'blockNames'>,
  { blocks }: Pick<Changes, 'blocks'>,
): readonly string[] {
  const { prefix = '', places } = blockNames ?? {};
  const split = (place: string): [list: string, number: number] => {
    const [, list = '', number] = /^(.*\.)(\d+)\.$/.exec(place) ?? [];
    return [list, Number(number)];
  };
  const next = new Map((places ?? []).toReversed().map(split));
  if (blocks.length === places?.length) {
    return places;
  }
  return blocks.map((source, block) => {
    const place = places?.[source];
    if (place === undefined) {
      return `${prefix}${block}.`;
    }
    const [list] = split(place);
    const number = next.get(list) ?? 0;
    next.set(list, number + 1);
    return `${list}${number}.`;
  });
}

/**
 * Position of a tensor in a block by its name, or undefined if it is outside the blocks. A module
 * of a list counts as a block.
 */
function placeInBlock(
  model: LayeredModel,
  name: string,
): { block: number; module: string; rest: string } | undefined {
  const { prefix, places } = model.blockNames ?? {};
  if (places !== undefined) {
    const block = places.findIndex((place) => name.startsWith(place));
    const rest = name.slice(places[block]?.length);
    const [module = ''] = /^[^.]*(?:\.\d+)?/.exec(rest) ?? [];
    return block < 0 ? undefined : { block, rest, module };
  }
  if (prefix === undefined || !name.startsWith(prefix)) {
    return undefined;
  }
  const [, number, rest = '', module = ''] =
    /^(\d+)\.(([^.]*(?:\.\d+)?).*)$/.exec(name.slice(prefix.length)) ?? [];
  return number === undefined ? undefined : { block: Number(number), module, rest };
}

/** Paths of modules, such as `3.self_attn`, whose tensors are all removed. */
function removedModules(model: LayeredModel, changes: Changes): Set<string> {
  const places = removedTensors(model, changes).map(({ name }) => placeInBlock(model, name));
  return new Set(
    places.flatMap((place) => (place === undefined ? [] : [`${place.block}.${place.module}`])),
  );
}

/** Names of stored tensors that stay: what other sublayers use as well, norms of sums, and ends of blocks. */
function stayingNames(model: LayeredModel, changes: Changes): ReadonlySet<string> {
  const behind = model.summary.sublayers.flatMap(
    (_, index) => model.sublayer(index).stayingTensors,
  );
  const stored = [...behind, ...sublayerTensors(model, changes, false)].flatMap(storedParts);
  return new Set(stored.map(({ name }) => name));
}

/** Tensors of the sublayers that go, patched ones included, or of those that stay. */
function sublayerTensors(model: LayeredModel, changes: Changes, isRemoved: boolean): LazyTensor[] {
  const removedIds = new Set([...changes.removed, ...changes.patches.keys()]);
  return model.summary.sublayers.flatMap(({ id }, index) =>
    removedIds.has(id) === isRemoved ? model.sublayer(index).tensors : [],
  );
}

/** Tensors that go with the removed and patched sublayers, which none of the others uses. */
function removedTensors(model: LayeredModel, changes: Changes): LazyTensor[] {
  const used = new Set(sublayerTensors(model, changes, false));
  const staying = stayingNames(model, changes);
  return [...new Set(sublayerTensors(model, changes, true))].filter(
    (tensor) => !used.has(tensor) && !staying.has(tensor.name),
  );
}

/** Number of remaining weights; weights that a removed sublayer shares with another remain. */
export function parametersAfter(model: LayeredModel, changes: Changes): number {
  const units = new RemovableUnits(model.summary);
  const experts = changes.removed
    .flatMap((id) => units.numberOf(id) ?? [])
    .filter((unit) => units.isExpert(unit));
  return (
    model.summary.parameters -
    removedTensors(model, changes).reduce((sum, { shape }) => sum + elementCount(shape), 0) -
    experts.reduce((sum, unit) => sum + units.parametersOf(unit), 0) +
    addedWeights(model, changes) +
    [...changes.patches.values()].reduce((sum, patch) => sum + patchParameters(patch), 0)
  );
}

/** Number of weights that the new encodings add to those of the replaced matrices. */
function addedWeights(model: LayeredModel, { matrices, unties }: Changes): number {
  return listMatrices(model).reduce((sum, matrix) => {
    const { id, out, in: input, encoding: before } = matrix;
    const form = matrices.get(id);
    const weights = before === undefined ? out * input : encodingParameters(before);
    const left = form === undefined ? weights : encodingParameters(form);
    const isTiedHead = 'place' in matrix && matrix.place === 'head' && matrix.tiedTo !== undefined;
    return sum + (isTiedHead ? (unties ? left : 0) : left - weights);
  }, 0);
}

/** Splits tensors into files like the source, or with at most `maxShardBytes` each. */
export function planShards(
  tensors: readonly PlannedTensor[],
  maxShardBytes: number | undefined,
): Shard[] {
  const groups: PlannedTensor[][] = [];
  let bytes = 0;
  let file: string | undefined;
  for (const planned of tensors) {
    const { tensor, home = homeFile(tensor) } = planned;
    const group = groups.at(-1);
    const starts =
      maxShardBytes === undefined ? home !== file : bytes + tensor.length > maxShardBytes;
    if (group === undefined || starts) {
      groups.push([planned]);
      bytes = tensor.length;
    } else {
      group.push(planned);
      bytes += tensor.length;
    }
    file = home;
  }
  const number = (value: number): string => String(value).padStart(5, '0');
  return groups.map((group, index) => ({
    fileName:
      groups.length === 1
        ? 'model.safetensors'
        : `model-${number(index + 1)}-of-${number(groups.length)}.safetensors`,
    tensors: group,
  }));
}
