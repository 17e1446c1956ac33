import type { JobContext } from '../jobs/job';
import { checkpoint } from '../jobs/job';
import type { LinearLayer } from '../models/matrix-encoding';
import type { CompressionChoice } from './compression-choice';
import { resolveVariant } from './compression-methods';
import { decompose } from './low-rank';
import type { MatrixProducts } from '../linear-algebra/matrix-products';
import { allocateRanks } from './rank-allocation';
import type { RankedLayer } from './rank-allocation';
import type { CalibrationPass } from './statistics/calibration-pass';
import type { InputStatistics } from './statistics/input-statistics';
import { say } from '../message';

/** Layers to allocate ranks to. */
export interface RankPlanRequest {
  /** Low-rank choices of layers, in the order of their sublayers; the sum of their parameters is the budget. */
  readonly choices: readonly { readonly layer: LinearLayer; readonly choice: CompressionChoice }[];
  readonly products: MatrixProducts;
  /** Required if a variant needs statistics. */
  readonly calibration?: CalibrationPass;
  readonly seed?: number;
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
  let known: { sublayer: number; statistics: ReadonlyMap<string, InputStatistics> } | undefined;
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
    const statistics = known?.statistics.get(layer.id);
    const matrix = await products.read({
      kind: 'stored',
      tensor: layer.weight,
      transposed: layer.transposed,
    });
    const settings = { products, seed, ...(statistics === undefined ? {} : { statistics }) };
    const variant = resolveVariant(choice, statistics !== undefined);
    const found = await decompose(
      { context: settings, name: layer.id, matrix },
      choice.level,
      variant,
    );
    const capturedEnergy = found.singularValues.reduce((sum, value) => sum + value ** 2, 0);
    const importance = found.energy > 0 ? Math.max(0, 1 - capturedEnergy / found.energy) : 0;
    layers.push({ id: layer.id, out: layer.out, in: layer.in, importance });
    parameters += choice.level * (layer.out + layer.in);
  }
  const ranks = allocateRanks(layers, parameters);
  return choices.map(({ choice }) => ({
    ...choice,
    level: ranks.get(choice.tensor) ?? choice.level,
  }));
}
