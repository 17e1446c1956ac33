import { elementCount } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { UserError } from '../../user-error';
import { dtypesWith } from '../transformer/linear-layers';
import type { ModelSummary } from '../model-summary';
import { summarizePatches, summarizeSublayers } from '../summarize';
import type { SummarizedLayout } from '../summarize';
import { Patch } from '../modules/sublayer-list';
import type { Sublayer } from '../modules/sublayer-list';
import { fingerprintPatches, patchTensors } from './symbolic-patch';
import type { SymbolicPatch } from './symbolic-patch';
import { say } from '../../message';

/** Parts of a model that patches change. */
interface PatchedModel extends SummarizedLayout {
  readonly summary: ModelSummary;
  readonly files: readonly string[];
}

/**
 * Model with patches in place of sublayers, by id.
 * @throws UserError if a sublayer doesn't exist
 */
export function withPatches(
  { summary, files, keepsCache, ...model }: PatchedModel,
  patches: ReadonlyMap<string, SymbolicPatch>,
): PatchedModel {
  requirePlaces(summary, patches);
  const sublayers = model.sublayers.map((sublayer): Sublayer => {
    const { block, place, shape, weights, ends, id } = sublayer;
    const patch = patches.get(id);
    return patch === undefined
      ? sublayer
      : new Patch(block, place, shape, weights, named(patch, id)).followedBy([], ends);
  });
  const added = [...patches.values()].flatMap(patchTensors);
  const before = new Map(summary.sublayers.map((one) => [one.id, one]));
  const after = summarizeSublayers({ sublayers, keepsCache });
  const grown = (cost: 'parameters' | 'bytes'): number =>
    after.reduce((sum, one) => sum + one[cost] - (before.get(one.id)?.[cost] ?? 0), 0);
  const sublayerTensors = (all: readonly Sublayer[]): LazyTensor[] =>
    all.flatMap((one) => one.tensors());
  return {
    summary: {
      ...summary,
      parameters: summary.parameters + grown('parameters'),
      bytes: summary.bytes + grown('bytes'),
      dtypes: dtypesWith(
        summary.dtypes,
        sublayerTensors(model.sublayers),
        sublayerTensors(sublayers),
      ),
      sublayers: after.map((one) => (patches.has(one.id) ? one : (before.get(one.id) ?? one))),
      ...summarizePatches(sublayers),
      fingerprint: fingerprintPatches(summary.fingerprint, patches),
    },
    sublayers,
    keepsCache,
    files: [...new Set([...files, ...added.map(({ file }) => file)])],
  };
}

/** @throws UserError if a patch is for a sublayer that there is not. */
export function requirePlaces(
  { path, sublayers }: ModelSummary,
  patches: ReadonlyMap<string, SymbolicPatch>,
): void {
  for (const id of patches.keys()) {
    if (!sublayers.some((one) => one.id === id)) {
      throw new UserError('sublayer-unknown', say`The model has no such sublayer.`, {
        file: path,
        field: id,
        remedy: say`Specify one that \`espalier inspect\` lists, such as block.0.attention.`,
      });
    }
  }
}

/** Adds the sublayer's id to tensor names, so that they are unique in a graph. */
function named(patch: SymbolicPatch, id: string): SymbolicPatch {
  const tensors = Object.entries(patch.tensors).map(([name, tensor]) => [
    name,
    { ...tensor, name: `${id}.${name}` },
  ]);
  return { ...patch, tensors: Object.fromEntries(tensors) as SymbolicPatch['tensors'] };
}

/** Weights of a patch. */
export const patchParameters = (
  patch: SymbolicPatch<{ readonly shape: readonly number[] }>,
): number => patchTensors(patch).reduce((sum, { shape }) => sum + elementCount(shape), 0);
