import { elementCount } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { UserError } from '../../user-error';
import { dtypesWith } from '../transformer/linear-layers';
import type { ModelSummary } from '../model-summary';
import { sublayerTensors } from '../transformer/sublayer-tensors';
import { summarizePatches, summarizeSublayers } from '../summarize';
import type { SummarizedLayout } from '../summarize';
import { idOfSublayer, placeOf } from '../transformer/transformer-sublayer';
import type { TransformerSublayer } from '../transformer/transformer-sublayer';
import { fingerprintPatches, patchTensors } from './symbolic-patch';
import type { SymbolicPatch } from './symbolic-patch';
import { say } from '../../message';

/** A model laid out from a checkpoint. */
interface LaidOut<Layout> {
  readonly summary: ModelSummary;
  readonly layout: Layout;
  readonly files: readonly string[];
}

/**
 * A model with patches in the places of sublayers, by their ids.
 * @throws UserError where there is no such sublayer.
 */
export function withPatches<Layout extends Omit<SummarizedLayout, 'keepsCache'>>(
  { summary, layout, files }: LaidOut<Layout>,
  patches: ReadonlyMap<string, SymbolicPatch>,
  keepsCache: boolean,
): LaidOut<Layout> {
  requirePlaces(summary, patches);
  const sublayers = layout.sublayers.map((sublayer): TransformerSublayer => {
    const {
      block,
      ends = [],
      weights: { sumNorms = [] },
    } = sublayer;
    const id = idOfSublayer(sublayer);
    const patch = patches.get(id);
    const place = placeOf(sublayer);
    return patch === undefined
      ? sublayer
      : { kind: 'patch', block, place, patch: named(patch, id), ends, weights: { sumNorms } };
  });
  const added = [...patches.values()].flatMap(patchTensors);
  const before = new Map(summary.sublayers.map((one) => [one.id, one]));
  const after = summarizeSublayers({ ...layout, sublayers, keepsCache });
  const grown = (cost: 'parameters' | 'bytes'): number =>
    after.reduce((sum, one) => sum + one[cost] - (before.get(one.id)?.[cost] ?? 0), 0);
  const tensorsOf = (all: readonly TransformerSublayer[]): LazyTensor[] =>
    all.flatMap((one) => sublayerTensors(one));
  return {
    summary: {
      ...summary,
      parameters: summary.parameters + grown('parameters'),
      bytes: summary.bytes + grown('bytes'),
      dtypes: dtypesWith(summary.dtypes, tensorsOf(layout.sublayers), tensorsOf(sublayers)),
      sublayers: after.map((one) => (patches.has(one.id) ? one : (before.get(one.id) ?? one))),
      ...summarizePatches(sublayers),
      fingerprint: fingerprintPatches(summary.fingerprint, patches),
    },
    layout: { ...layout, sublayers },
    files: [...new Set([...files, ...added.map(({ file }) => file)])],
  };
}

/** @throws UserError where a patch is for a sublayer that there is not. */
export function requirePlaces(
  { path, sublayers }: ModelSummary,
  patches: ReadonlyMap<string, SymbolicPatch>,
): void {
  for (const id of patches.keys()) {
    if (!sublayers.some((one) => one.id === id)) {
      throw new UserError(say`The model has no such sublayer.`, {
        file: path,
        field: id,
        remedy: say`Name one that \`espalier inspect\` lists, such as block.0.attention.`,
      });
    }
  }
}

/** Which module of a block holds the tensors of a patch, by the sublayer that it stands for. */
export function patchModuleOf(
  modules: Readonly<Record<'attention' | 'feedforward', string>> & { readonly mixer?: string },
  id: string,
): string {
  const [, kind] = /\.(attention|mixer)$/.exec(id) ?? [];
  return (
    (kind === 'mixer' ? modules.mixer : modules[kind === 'attention' ? kind : 'feedforward']) ?? ''
  );
}

/** Tensors are told apart by their names in a graph. */
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
