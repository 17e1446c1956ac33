import type { JobContext } from '../jobs/job';
import { checkpoint } from '../jobs/job';
import type { LinearLayer } from '../models/matrix-form';
import type { CompressionChoice } from './compression-choice';
import { variantOf } from './compression-methods';
import { decompose, rankForRatio } from './low-rank';
import type { MatrixProducts } from '../linear-algebra/matrix-products';
import { allocateRanks } from './rank-allocation';
import type { RankedLayer } from './rank-allocation';
import type { CalibrationPass } from './statistics/calibration-pass';

/** Which layers get ranks, and how much they may keep together. */
export interface RankPlanRequest {
  /** In the order of their sublayers. */
  readonly layers: readonly LinearLayer[];
  /** Share of their parameters. */
  readonly ratio: number;
  /** A variant of lowrank; the usual one when absent. */
  readonly variant?: string;
  readonly products: MatrixProducts;
  /** Needed where the variant needs statistics. */
  readonly calibration?: CalibrationPass;
  readonly seed?: number;
}

/**
 * Ranks for many matrices under one budget of parameters. What a matrix is worth is the share of its
 * outputs (of its weights, without calibration) that is lost where all are cut to the same share.
 * @throws UserError as the decomposition, or where the budget has no rank 1 for each.
 */
export async function planRanks(
  { layers, ratio, products, calibration, seed = 0, ...request }: RankPlanRequest,
  context: JobContext,
): Promise<CompressionChoice[]> {
  const method = 'lowrank';
  const variant = variantOf({ method, ...request }, calibration !== undefined);
  const ranked: RankedLayer[] = [];
  for (const layer of layers) {
    context.progress({
      stage: 'Weighing linear layers',
      done: ranked.length,
      total: layers.length,
      unit: 'steps',
    });
    await checkpoint(context.cancellation);
    const statistics = (await calibration?.statistics(layer.sublayer))?.get(layer.id);
    const matrix = await products.read({
      kind: 'stored',
      tensor: layer.weight,
      transposed: layer.transposed,
    });
    const settings = { products, seed, ...(statistics === undefined ? {} : { statistics }) };
    const work = { context: settings, name: layer.id, matrix };
    const { singularValues, energy } = await decompose(work, rankForRatio(layer, ratio), variant);
    const kept = singularValues.reduce((sum, value) => sum + value ** 2, 0);
    const importance = energy > 0 ? Math.max(0, 1 - kept / energy) : 0;
    ranked.push({ id: layer.id, out: layer.out, in: layer.in, importance });
  }
  const total = layers.reduce((sum, layer) => sum + layer.out * layer.in, 0);
  return [...allocateRanks(ranked, ratio * total)].map(([tensor, level]) => ({
    tensor,
    method,
    level,
    variant,
  }));
}
