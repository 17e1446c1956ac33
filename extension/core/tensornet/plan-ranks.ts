import type { JobContext } from '../jobs/job';
import { checkpoint } from '../jobs/job';
import type { LinearLayer } from '../models/matrix-encoding';
import type { CompressionChoice } from './compression-choice';
import { resolveVariant } from './compression-methods';
import { decompose } from './low-rank';
import type { MatrixProducts } from '../linear-algebra/matrix-products';
import type { CalibrationPass, SublayerStatistics } from './statistics/calibration-pass';
import { say } from '../message';
import { UserError } from '../user-error';

/** Layers to allocate ranks to. */
export interface RankPlanRequest {
  /** Low-rank choices of layers, in the order of their sublayers; the sum of their parameters is the budget. */
  readonly choices: readonly { readonly layer: LinearLayer; readonly choice: CompressionChoice }[];
  readonly products: MatrixProducts;
  /** Required if a variant needs statistics. */
  readonly calibration?: CalibrationPass;
  readonly seed?: number;
}

/** Matrix that gets a rank. */
interface RankedLayer extends Pick<LinearLayer, 'id' | 'out' | 'in'> {
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

/**
 * Allocates ranks under one budget of parameters by importance: the share of a matrix's outputs (or of its weights
 * without calibration) that is lost at the given rank.
 * @returns the choices with new ranks
 * @throws UserError like the decomposition
 */
export async function planRanks(
  { choices, products, calibration, seed = 0 }: RankPlanRequest,
  context: Pick<JobContext, 'cancellation' | 'progress'>,
): Promise<CompressionChoice[]> {
  const layers: RankedLayer[] = [];
  let parameters = 0;
  // Layers of a sublayer share its statistics, which need a run over all of the calibration text.
  let known: { sublayer: number; statistics: SublayerStatistics } | undefined;
  for (const { layer, choice } of choices) {
    context.progress({
      stage: say`Measuring singular values`,
      done: layers.length,
      total: choices.length,
      unit: 'steps',
    });
    await checkpoint(context.cancellation);
    const { sublayer } = layer;
    if (calibration !== undefined && known?.sublayer !== sublayer) {
      known = { sublayer, statistics: await calibration.statistics(sublayer) };
    }
    const statistics = await known?.statistics.get(layer.id);
    const matrix = await products.read({
      kind: 'stored',
      tensor: layer.weight,
      transposed: layer.transposed,
    });
    const settings = { products, seed, ...(statistics === undefined ? {} : { statistics }) };
    const variant = resolveVariant(choice, statistics !== undefined);
    const found = await decompose(
      { context: settings, name: layer.id, matrix },
      choice.setting,
      variant,
    );
    const capturedEnergy = found.singularValues.reduce((sum, value) => sum + value ** 2, 0);
    const importance = found.energy > 0 ? Math.max(0, 1 - capturedEnergy / found.energy) : 0;
    layers.push({ id: layer.id, out: layer.out, in: layer.in, importance });
    parameters += choice.setting * (layer.out + layer.in);
  }
  const ranks = allocateRanks(layers, parameters);
  return choices.map(({ choice }) => ({
    ...choice,
    setting: ranks.get(choice.tensor) ?? choice.setting,
  }));
}
