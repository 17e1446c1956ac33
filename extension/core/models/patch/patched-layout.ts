import { createHash } from 'node:crypto';
import { elementCount } from '../../checkpoints/lazy-tensor';
import { UserError } from '../../user-error';
import type { ModelSummary } from '../model-summary';
import { summarizePatches, summarizeSublayers } from '../summarize';
import { idOfSublayer } from '../transformer-layout';
import type { TransformerLayout, TransformerSublayer } from '../transformer-layout';
import { describePatch, patchTensors } from './symbolic-patch';
import type { SymbolicPatch } from './symbolic-patch';

/** A decoder laid out. */
interface LaidOut {
  readonly summary: ModelSummary;
  readonly layout: TransformerLayout;
  readonly files: readonly string[];
}

/**
 * A decoder with patches in the places of sublayers, by their ids.
 * @throws UserError where one cannot stand there.
 */
export function withPatches(
  { summary, layout, files }: LaidOut,
  patches: ReadonlyMap<string, SymbolicPatch>,
): LaidOut {
  for (const id of patches.keys()) {
    requirePatchable(summary, layout, id);
  }
  const sublayers = layout.sublayers.map((sublayer): TransformerSublayer => {
    const patch = patches.get(idOfSublayer(sublayer));
    const { block } = sublayer;
    const place = sublayer.kind === 'patch' ? sublayer.place : sublayer.kind;
    return patch === undefined || place === 'expert'
      ? sublayer
      : { kind: 'patch', block, place, patch: named(patch, idOfSublayer(sublayer)), weights: {} };
  });
  const added = [...patches.values()].flatMap(patchTensors);
  const before = new Map(summary.sublayers.map((one) => [one.id, one]));
  const after = summarizeSublayers({ ...layout, sublayers, keepsCache: true });
  const grown = (cost: 'parameters' | 'bytes'): number =>
    after.reduce((sum, one) => sum + one[cost] - (before.get(one.id)?.[cost] ?? 0), 0);
  const described = [...patches].map(([id, patch]) => [id, describePatch(patch)]);
  return {
    summary: {
      ...summary,
      parameters: summary.parameters + grown('parameters'),
      bytes: summary.bytes + grown('bytes'),
      sublayers: after.map((one) => (patches.has(one.id) ? one : (before.get(one.id) ?? one))),
      ...summarizePatches(sublayers),
      fingerprint: createHash('sha256')
        .update(summary.fingerprint)
        .update(JSON.stringify(described))
        .digest('hex'),
    },
    layout: { ...layout, sublayers },
    files: [...new Set([...files, ...added.map(({ file }) => file)])],
  };
}

/** Tensors are told apart by their names in a graph. */
function named(patch: SymbolicPatch, id: string): SymbolicPatch {
  const tensors = Object.entries(patch.tensors).map(([name, tensor]) => [
    name,
    { ...tensor, name: `${id}.${name}` },
  ]);
  return { ...patch, tensors: Object.fromEntries(tensors) as SymbolicPatch['tensors'] };
}

/** @throws UserError where a sublayer cannot be replaced by x + U·G(D·x) of the stream x alone. */
function requirePatchable(summary: ModelSummary, layout: TransformerLayout, id: string): void {
  const sublayer = layout.sublayers.find((one) => idOfSublayer(one) === id);
  const problem =
    sublayer === undefined
      ? 'The model has no such sublayer.'
      : sublayer.kind === 'expert'
        ? 'A mixture of experts is not patched.'
        : layout.parallel
          ? 'The branches of a block run in parallel, so that a patch has no place of its own.'
          : layout.scales.residual !== 1 || sublayer.weights.sumNorm !== undefined
            ? 'What sublayers add to the stream is scaled or normed, which a patch is not.'
            : undefined;
  if (problem !== undefined) {
    throw new UserError(problem, {
      file: summary.path,
      field: id,
      remedy: 'Patch attention or a feed-forward of a plain decoder, such as block.0.attention.',
    });
  }
}

/** Weights of a patch. */
export const patchParameters = (
  patch: SymbolicPatch<{ readonly shape: readonly number[] }>,
): number => patchTensors(patch).reduce((sum, { shape }) => sum + elementCount(shape), 0);
