import type { SublayerKind, SublayerSummary } from './types';
import type { Unit } from './units';

/** Place of each kind in the residual stream of a block, as far as there is a usual one. */
const places: Readonly<Record<SublayerKind, number>> = {
  attention: 0,
  'cross-attention': 1,
  mixer: 2,
  parallel: 3,
  feedforward: 4,
  expert: 5,
  convolution: 6,
  patch: 7,
  other: 8,
};

/** Every kind, in the order in which a block's are shown. */
export const everyKind = (Object.keys(places) as SublayerKind[]).sort(
  (a, b) => places[a] - places[b],
);

/** A line of the grid: units of one kind, or the experts of one number. */
export type Line = Pick<Unit, 'kind' | 'expert'>;

/** Lines of a grid: kinds in display order, then single experts. */
export function listLines(units: readonly Line[]): Line[] {
  const most = units.reduce((sum, { expert = -1 }) => Math.max(sum, expert + 1), 0);
  return listKinds(units).flatMap((kind): Line[] => [
    { kind },
    ...(kind === 'expert' ? Array.from({ length: most }, (_, expert) => ({ kind, expert })) : []),
  ]);
}

/** The kinds that a model has, in the order in which a block's are shown. */
export function listKinds(sublayers: readonly Pick<SublayerSummary, 'kind'>[]): SublayerKind[] {
  const present = new Set(sublayers.map(({ kind }) => kind));
  return everyKind.filter((kind) => present.has(kind));
}
