import type { LinearLayer } from '../models/matrix-encoding';
import { UserError } from '../user-error';
import { say } from '../message';

/** Matrix that gets a rank. */
export interface RankedLayer extends Pick<LinearLayer, 'id' | 'out' | 'in'> {
  /** Value of a parameter relative to those of other layers, from 0. */
  readonly importance: number;
}

/** Minimum rank of every matrix, as a share of its rank under an equal split. */
const defaultFloor = 0.5;

/**
 * Ranks k of matrices [m, n] whose factors, with k(m + n) elements each, have at most `parameters` in total. Each gets
 * `floor` of its rank under an equal split; the rest is allocated by importance × size, up to the rank at which the
 * factors have as many elements as the matrix.
 * @throws UserError if not every matrix can have rank 1
 */
export function allocateRanks(
  layers: readonly RankedLayer[],
  parameters: number,
  floor = defaultFloor,
): Map<string, number> {
  const cost = ({ out, in: inputs }: RankedLayer): number => out + inputs;
  const size = ({ out, in: inputs }: RankedLayer): number => out * inputs;
  const most = layers.map((layer) => Math.max(1, Math.floor(size(layer) / cost(layer))));
  const total = layers.reduce((sum, layer) => sum + size(layer), 0);
  const ranks = layers.map((layer, i) => {
    const equal = (Math.min(1, parameters / total) * size(layer)) / cost(layer);
    return Math.min(most[i] ?? 1, Math.max(1, Math.floor(floor * equal)));
  });
  const left = (): number =>
    parameters - layers.reduce((sum, layer, i) => sum + (ranks[i] ?? 0) * cost(layer), 0);
  if (left() < 0) {
    throw new UserError(
      'rank-budget-too-small',
      say`${Math.floor(parameters)} parameters are too few for ${layers.length} matrices of rank 1.`,
      { remedy: say`Raise the budget, or compress fewer layers.` },
    );
  }
  const wishes = layers.map((layer) => Math.max(0, layer.importance) * size(layer));
  const isOpen = (i: number): boolean => (ranks[i] ?? 0) < (most[i] ?? 0);
  // Budget that full matrices can't use is split among the others.
  for (;;) {
    const open = layers.map((_, i) => i).filter((i) => isOpen(i) && (wishes[i] ?? 0) > 0);
    const [budget, wished] = [left(), open.reduce((sum, i) => sum + (wishes[i] ?? 0), 0)];
    const gains = open.map((i) => {
      const layer = layers[i];
      const share = (budget * (wishes[i] ?? 0)) / wished;
      const gain = layer === undefined ? 0 : Math.floor(share / cost(layer));
      return Math.min(gain, (most[i] ?? 0) - (ranks[i] ?? 0));
    });
    if (gains.every((gain) => gain === 0)) {
      break;
    }
    open.forEach((i, place) => {
      ranks[i] = (ranks[i] ?? 0) + (gains[place] ?? 0);
    });
  }
  // Single remaining ranks, the most important matrices first.
  const order = layers.map((_, i) => i).sort((a, b) => (wishes[b] ?? 0) - (wishes[a] ?? 0));
  for (const i of order) {
    const layer = layers[i];
    while (layer !== undefined && isOpen(i) && cost(layer) <= left()) {
      ranks[i] = (ranks[i] ?? 0) + 1;
    }
  }
  return new Map(layers.map(({ id }, i) => [id, ranks[i] ?? 1]));
}
