import { elementCount, rowsOfTensor } from '../checkpoints/lazy-tensor';
import type { Checkpoint, LazyTensor } from '../checkpoints/lazy-tensor';
import type { LayeredModel } from '../models/layered-model';
import { RemovableUnits } from '../models/units';
import type { ByteRange } from './byte-copier';
import type { Removal } from './removal';

/** A tensor of the source under its name in the result. */
export interface PlannedTensor {
  readonly name: string;
  readonly tensor: LazyTensor;
  /** Whether zeros are written in its place. */
  readonly zeros?: boolean;
  /** Where its bytes lie, one after the other, where some rows of the source's are left out. */
  readonly ranges?: readonly ByteRange[];
}

/** One weight file of the result. */
export interface Shard {
  readonly fileName: string;
  readonly tensors: readonly PlannedTensor[];
}

/**
 * The tensors that stay, in the order of the source's files and offsets, with their blocks numbered
 * anew. Tensors that the architecture does not use stay as well, unless they belong to a removed
 * module or block.
 */
export function planTensors(
  model: LayeredModel,
  checkpoint: Checkpoint,
  removal: Removal,
): PlannedTensor[] {
  const newBlocks = new Map(removal.blocks.map((source, block) => [source, block]));
  const modules = removedModules(model, removal);
  const mixtures = lessExperts(model, removal);
  return inFileOrder(checkpoint).flatMap((tensor): PlannedTensor[] => {
    const place = placeInBlock(model, tensor.name);
    if (place === undefined || place.block >= model.summary.blocks) {
      return [{ name: tensor.name, tensor }];
    }
    const block = newBlocks.get(place.block);
    const experts = mixtures.get(place.block);
    if (block === undefined || modules.has(`${place.block}.${place.module}`)) {
      return [];
    }
    const named = (rest: string): string => `${place.prefix}${block}.${rest}`;
    return experts === undefined
      ? [{ name: named(place.rest), tensor }]
      : withExperts(experts, tensor, place.rest).map((planned) => ({
          ...planned,
          name: named(planned.name),
        }));
  });
}

/** A mixture that loses experts. */
interface LessExperts {
  readonly kept: readonly number[];
  /** Names of stored tensors that have a row for each expert. */
  readonly byRow: ReadonlySet<string>;
}

/** The mixtures that lose experts, by block of the source. */
function lessExperts(model: LayeredModel, removal: Removal): Map<number, LessExperts> {
  const found = new Map<number, LessExperts>();
  for (const [index, { id, block }] of model.summary.sublayers.entries()) {
    const kept = removal.keptExperts.get(id);
    const tensors = model.expertTensors?.(index);
    if (kept !== undefined && tensors !== undefined) {
      const joined = tensors.experts.flat().flatMap(({ sliceOf }) => sliceOf ?? []);
      found.set(block, { kept, byRow: new Set([tensors.router.name, ...joined]) });
    }
  }
  return found;
}

/** What is left of a tensor under its name in the block; nothing where its expert goes. */
function withExperts(
  { kept, byRow }: LessExperts,
  tensor: LazyTensor,
  rest: string,
): PlannedTensor[] {
  if (byRow.has(tensor.name)) {
    const rows = kept.map((expert) => rowsOfTensor(tensor, expert, expert + 1));
    const [, ...shape] = tensor.shape;
    const length = rows.reduce((sum, row) => sum + row.length, 0);
    return [
      { name: rest, tensor: { ...tensor, shape: [kept.length, ...shape], length }, ranges: rows },
    ];
  }
  const [, before, number, after] = /^(.*\bexperts\.)(\d+)(\..*)$/.exec(rest) ?? [];
  if (number === undefined) {
    return [{ name: rest, tensor }];
  }
  const expert = kept.indexOf(Number(number));
  return expert < 0 ? [] : [{ name: `${before}${expert}${after}`, tensor }];
}

/** All tensors, with zeros in place of those by which the removed sublayers add to the stream. */
export function planZeroed(
  model: LayeredModel,
  checkpoint: Checkpoint,
  removal: Removal,
): PlannedTensor[] {
  const gone = new Set(removal.removed);
  const zeroed = new Set(
    model.summary.sublayers.flatMap(({ id }, index) =>
      gone.has(id)
        ? (model.outputTensors?.(index) ?? []).map(({ name, sliceOf = name }) => sliceOf)
        : [],
    ),
  );
  return inFileOrder(checkpoint).map((tensor) => ({
    name: tensor.name,
    tensor,
    ...(zeroed.has(tensor.name) ? { zeros: true } : {}),
  }));
}

function inFileOrder(checkpoint: Checkpoint): LazyTensor[] {
  const fileOrder = new Map(checkpoint.files.map((file, index) => [file, index]));
  return [...checkpoint.tensors.values()].sort(
    (a, b) => (fileOrder.get(a.file) ?? 0) - (fileOrder.get(b.file) ?? 0) || a.offset - b.offset,
  );
}

/** Where a tensor's name puts it, or undefined outside the blocks. */
function placeInBlock(
  model: LayeredModel,
  name: string,
): { prefix: string; block: number; module: string; rest: string } | undefined {
  const prefix = model.blocksPrefix;
  if (prefix === undefined || !name.startsWith(prefix)) {
    return undefined;
  }
  const [, number, rest = '', module = ''] =
    /^(\d+)\.(([^.]*).*)$/.exec(name.slice(prefix.length)) ?? [];
  return number === undefined ? undefined : { prefix, block: Number(number), module, rest };
}

/** Modules such as `3.self_attn`, whose tensors all go. */
function removedModules(model: LayeredModel, removal: Removal): Set<string> {
  const places = removedTensors(model, removal).map(({ name }) => placeInBlock(model, name));
  return new Set(
    places.flatMap((place) => (place === undefined ? [] : [`${place.block}.${place.module}`])),
  );
}

/** Tensors of the removed sublayers that none of the others uses. */
function removedTensors(model: LayeredModel, removal: Removal): LazyTensor[] {
  const gone = new Set(removal.removed);
  const tensorsOf = (goes: boolean): LazyTensor[] =>
    model.summary.sublayers.flatMap(({ id }, index) =>
      gone.has(id) === goes ? model.sublayerTensors(index) : [],
    );
  const used = new Set(tensorsOf(false));
  return [...new Set(tensorsOf(true))].filter((tensor) => !used.has(tensor));
}

/** Weights left: what a removed sublayer shares with another stays. */
export function parametersAfter(model: LayeredModel, removal: Removal): number {
  const units = new RemovableUnits(model.summary);
  const experts = removal.removed
    .flatMap((id) => units.numberOf(id) ?? [])
    .filter((unit) => units.isExpert(unit));
  return (
    model.summary.parameters -
    removedTensors(model, removal).reduce((sum, { shape }) => sum + elementCount(shape), 0) -
    experts.reduce((sum, unit) => sum + units.parametersOf(unit), 0)
  );
}

/** Divides the tensors into files: as the source, or none larger than `maxShardBytes` of data. */
export function planShards(
  tensors: readonly PlannedTensor[],
  maxShardBytes: number | undefined,
): Shard[] {
  const groups: PlannedTensor[][] = [];
  let bytes = 0;
  let file: string | undefined;
  for (const planned of tensors) {
    const { tensor } = planned;
    const group = groups.at(-1);
    const starts =
      maxShardBytes === undefined ? tensor.file !== file : bytes + tensor.length > maxShardBytes;
    if (group === undefined || starts) {
      groups.push([planned]);
      bytes = tensor.length;
    } else {
      group.push(planned);
      bytes += tensor.length;
    }
    file = tensor.file;
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
