import { closestNames } from '../closest-names';
import type { LazyTensor } from '../checkpoints/lazy-tensor';
import { hasOwnParts, requireAble } from '../models/capability';
import type { ModelSummary, SublayerSummary } from '../models/model-summary';
import type { CompressedEncodings } from '../models/encodings/encoding-spec';
import { embeddingAndHeadPlaces } from '../models/matrix-encoding';
import type { MatrixEncoding } from '../models/matrix-encoding';
import { describePatch, patchTensorShapes, patchWidth } from '../models/patch/symbolic-patch';
import type { PatchSpecs, SymbolicPatch } from '../models/patch/symbolic-patch';
import { expertIds, RemovableUnits } from '../models/units';
import { requireExperts } from '../prune/candidates';
import { UserError } from '../user-error';
import { say } from '../message';

/** Differences between a result and its source, and the sublayers that remain in each block. */
export interface Changes {
  /** Removed ids of the source: sublayers in model order, then experts of the remaining MoE layers. */
  readonly removed: readonly string[];
  /** Sublayers of the source that stay, in model order. */
  readonly remaining: readonly SublayerSummary[];
  /** Source block of each block of the result, which drops empty blocks. */
  readonly blocks: readonly number[];
  /** Sublayer ids that the result's blocks lack, in its own numbering. */
  readonly absent: readonly string[];
  /** Experts that remain, by source id of each MoE layer from which some are removed. */
  readonly remainingExperts: ReadonlyMap<string, readonly number[]>;
  /** Number of experts of each MoE layer in the result, by its block. */
  readonly expertCounts: ReadonlyMap<number, number>;
  /** Channels and key/value heads of the result's sublayers if they differ from the model's. */
  readonly widths: Readonly<Record<string, number>>;
  /** New encodings of the remaining linear layers, by id. */
  readonly matrices: ReadonlyMap<string, MatrixEncoding>;
  /** Every matrix of the result that is not dense, in its own numbering. */
  readonly compressed: CompressedEncodings;
  /** True if a tied embedding and LM head are stored as two tensors in the result. */
  readonly unties: boolean;
  /** Patches by the source ids of the sublayers that they replace. */
  readonly patches: Patches;
  /** Every patch of the result, in its own numbering; the sublayers count among the absent. */
  readonly patched: PatchSpecs;
}

/** Symbolic patches by the ids of the sublayers that they replace. */
export type Patches = ReadonlyMap<string, SymbolicPatch>;

/**
 * Placeholder patches to check whether a result can be written before any patch is fitted; the check depends only on
 * their presence.
 */
export function placeholderPatches(ids: readonly string[], width = patchWidth): Patches {
  const graph = { nodes: [0, 1], edges: [{ id: 2, port: 0, ends: [0, 1] as const }], nextId: 3 };
  const shapes = Object.entries(patchTensorShapes(width));
  const tensors = shapes.map(([name, shape]): [string, LazyTensor] => [
    name,
    { name, dtype: 'F32', shape, file: '', offset: 0, length: 0 },
  ]);
  return new Map(
    ids.map((id) => [id, { program: '', graph, tensors: Object.fromEntries(tensors) }]),
  );
}

/** Removed ids without the patched ones, since a patched sublayer is replaced instead. */
export function excludePatched(
  removed: readonly string[],
  patches: Pick<Patches, 'has'>,
): string[] {
  return removed.filter((id) => !patches.has(id));
}

/** Model that can be copied with changes, as the same class. */
interface Changeable<Model> {
  withMatrices(forms: ReadonlyMap<string, MatrixEncoding>): Model;
  withPatches(patches: Patches): Model;
}

type ModelChanges = Pick<Changes, 'matrices' | 'patches'>;

/**
 * Changed models by source model, because the writer and the check request the same one and
 * analyzing a graph again is slow.
 */
const modelsWithChanges = new WeakMap<
  ModelChanges,
  { readonly model: object; readonly changed: object }
>();

/** Returns the model with its new encodings and patches. */
export function withChanges<Model extends Changeable<Model>>(
  model: Model,
  changes: ModelChanges,
): Model {
  const { matrices, patches } = changes;
  const known = modelsWithChanges.get(changes);
  if (known?.model === model) {
    return known.changed as Model;
  }
  const encoded = matrices.size === 0 ? model : model.withMatrices(matrices);
  const changed = patches.size === 0 ? encoded : encoded.withPatches(patches);
  modelsWithChanges.set(changes, { model, changed });
  return changed;
}

/** True if an ordinary model of the family can't represent the remaining sublayers. */
export function needsModule(changes: Changes): boolean {
  const { expertCounts, compressed } = changes;
  return isUnlike(changes) || isUneven(expertCounts) || Object.keys(compressed).length > 0;
}

/** True if some blocks lack sublayers or have sublayers of another size. */
function isUnlike({ absent, widths }: Changes): boolean {
  return absent.length + Object.keys(widths).length > 0;
}

/**
 * True if MoE layers have different numbers of experts; config.json has one number for all of them.
 */
export function isUneven(expertCounts: ReadonlyMap<number, number>): boolean {
  return new Set(expertCounts.values()).size > 1;
}

/** New encodings of linear layers. */
export interface MatrixChanges {
  /** By layer id. */
  readonly matrices: ReadonlyMap<string, MatrixEncoding>;
  /** By module path, without dense layers. */
  readonly compressed: CompressedEncodings;
  readonly unties: boolean;
}

const unchanged: MatrixChanges = { matrices: new Map(), compressed: {}, unties: false };

/**
 * Computes the layout that remains after removing the sublayers of `removed` that have no patch.
 * Ignores ids that the model doesn't have.
 * @throws UserError if nothing can be removed from the model.
 */
export function layOutChanges(
  summary: ModelSummary,
  removed: readonly string[],
  { matrices, compressed, unties }: MatrixChanges = unchanged,
  patches: Patches = new Map(),
): Changes {
  if (removed.length > 0 || patches.size > 0) {
    requireAble(hasOwnParts(summary), summary.path);
  }
  const asked = new Set(excludePatched(removed, patches));
  const removedSublayers = summary.sublayers.filter(({ id }) => asked.has(id));
  const remaining = summary.sublayers.filter(({ id }) => !asked.has(id));
  // Parts that stay keep their block.
  const staysWhole =
    summary.keepsBlocks === true ||
    summary.sublayers.some(({ leavesParts = false }) => leavesParts);
  const blocks = staysWhole
    ? Array.from({ length: summary.blocks }, (_, block) => block)
    : [
        ...new Set([
          ...(summary.keepsFirstBlock === true ? [0] : []),
          ...remaining.map(({ block }) => block),
        ]),
      ];
  const standing: PatchSpecs = {
    ...summary.patches,
    ...Object.fromEntries([...patches].map(([id, patch]) => [id, describePatch(patch)])),
  };
  const lacking = [
    ...removedSublayers.map(({ id }) => id),
    ...(summary.absent ?? []),
    ...remaining.flatMap(({ id }) => (standing[id] === undefined ? [] : [id])),
  ];
  const absent = blocks.flatMap((source, block) =>
    lacking
      .filter((id) => id.startsWith(`block.${source}.`))
      .map((id) => id.replace(/^block\.\d+/, `block.${block}`))
      .sort(),
  );
  const remainingExperts = new Map<string, readonly number[]>();
  const expertCounts = new Map<number, number>();
  for (const sublayer of remaining.filter(({ experts }) => experts !== undefined)) {
    const ids = expertIds(sublayer);
    const staying = [...ids.keys()].filter((expert) => !asked.has(ids[expert] ?? ''));
    expertCounts.set(blocks.indexOf(sublayer.block), staying.length);
    if (staying.length < ids.length) {
      remainingExperts.set(sublayer.id, staying);
    }
  }
  const experts = remaining.flatMap(expertIds).filter((id) => asked.has(id));
  const all = mergeForms(summary.compressed ?? {}, compressed);
  return {
    removed: [...removedSublayers.map(({ id }) => id), ...experts],
    remaining,
    blocks,
    absent,
    remainingExperts,
    expertCounts,
    widths: renumber(summary.widths ?? {}, remaining, blocks),
    matrices,
    compressed: { ...renumber(all, remaining, blocks), ...embeddingAndHeadEncodings(all) },
    unties,
    patches,
    patched: renumber(standing, remaining, blocks),
  };
}

function mergeForms(before: CompressedEncodings, added: CompressedEncodings): CompressedEncodings {
  const ids = [...new Set([...Object.keys(before), ...Object.keys(added)])];
  return Object.fromEntries(ids.map((id) => [id, { ...before[id], ...added[id] }]));
}

/** Encodings of the embedding and the LM head. */
function embeddingAndHeadEncodings(compressed: CompressedEncodings): CompressedEncodings {
  return Object.fromEntries(
    embeddingAndHeadPlaces.flatMap((place) => {
      const forms = compressed[place];
      return forms === undefined ? [] : [[place, forms]];
    }),
  );
}

/** Entries of the remaining sublayers, by their ids in the result. */
function renumber<Said>(
  said: Readonly<Record<string, Said>>,
  remaining: readonly SublayerSummary[],
  blocks: readonly number[],
): Record<string, Said> {
  return Object.fromEntries(
    remaining.flatMap(({ id, block }) => {
      const own = said[id];
      const renamed = id.replace(/^block\.\d+/, `block.${blocks.indexOf(block)}`);
      return own === undefined ? [] : [[renamed, own]];
    }),
  );
}

/**
 * Like {@link layOutChanges}, for changes that will be applied.
 * @throws UserError for unknown ids, or if nothing would remain
 */
export function checkChanges(
  summary: ModelSummary,
  removed: readonly string[],
  matrices?: MatrixChanges,
  patches: Patches = new Map(),
): Changes {
  const known = summary.sublayers.flatMap((one) => [one.id, ...expertIds(one)]);
  for (const id of [...removed, ...patches.keys()]) {
    if (!known.includes(id)) {
      throw absentSublayer(summary, id, known);
    }
  }
  const changes = layOutChanges(summary, removed, matrices, patches);
  const units = new RemovableUnits(summary);
  requireExperts(summary, new Set(changes.removed.flatMap((id) => units.numberOf(id) ?? [])), {
    file: summary.path,
    field: 'remove',
  });
  if (changes.remaining.length === 0) {
    throw new UserError('sublayers-all-removed', say`A model needs at least one sublayer.`, {
      file: summary.path,
      field: 'remove',
      remedy: say`Keep at least one sublayer.`,
    });
  }
  return changes;
}

/** The first block of the result that has lost all its sublayers, by its number in the source. */
export function emptiedBlock({ remaining, blocks }: Changes): number | undefined {
  return blocks.find((block) => remaining.every((one) => one.block !== block));
}

/** Error for an unknown sublayer, with the names of similar ones. */
export function absentSublayer(
  summary: ModelSummary,
  id: string,
  known: readonly string[],
  field = id,
): UserError {
  if (summary.absent?.includes(id) === true) {
    return new UserError(
      'sublayer-already-absent',
      say`${id} is already absent from ${summary.name}.`,
      {
        file: summary.path,
        field,
        remedy: say`The plan was made for another model: make a new one for this folder, whose blocks may be numbered differently.`,
      },
    );
  }
  return new UserError('sublayer-unknown', say`${summary.name} has no sublayer "${id}".`, {
    file: summary.path,
    field,
    remedy: say`Similar ids: ${closestNames(id, known).join(', ')}. Blocks are numbered from 0 to ${summary.blocks - 1}.`,
  });
}
