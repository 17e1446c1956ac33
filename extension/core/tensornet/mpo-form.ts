import type { TensorData } from '../checkpoints/tensor-data';
import type { MatrixEncoding, MpoEncoding } from '../models/matrix-encoding';
import type { Compression } from './compression-choice';
import type { CompressionContext, MatrixWork } from './compression-context';
import { chooseMpoRun } from './costs/machine-costs';
import { inputScales } from './statistics/input-weights';
import { tensorize } from './mpo';
import { chooseSites } from './mpo-sites';
import { float32Data, floatData, scaleColumns } from './tensor-values';

/** Matrix that is tensorized: the weights (`plain`), or the weights scaled by mean |x|^½ (`scaled`). */
export const mpoVariants = ['plain', 'scaled'] as const;

/** MPOs up to a bond dimension, with truncations that are optimal in a variant's metric. */
export function prepareMpo(
  { context, name, matrix }: MatrixWork,
  variant: string,
  highest: number,
): (compression: Pick<Compression, 'level' | 'sites'>) => Promise<MatrixEncoding<TensorData>> {
  const { products, statistics, seed = 0, dtype = 'F32', mpoRun, costs } = context;
  const scales = variant === 'scaled' ? requireScales(statistics) : undefined;
  const scaled = scales === undefined ? matrix : scaleColumns(matrix, scales);
  const known = new Map<string, ReturnType<typeof tensorize>>();
  return async ({ level, sites: choice }) => {
    const sites = chooseSites(matrix.count, matrix.length, choice);
    const key = JSON.stringify(sites);
    const at = known.get(key) ?? tensorize(products, name, scaled, sites, highest, seed);
    known.set(key, at);
    const { cores } = await (await at)(level);
    const form: MpoEncoding<TensorData> = {
      kind: 'mpo',
      sites,
      bonds: cores.slice(0, -1).map(({ shape }) => shape[3]),
      cores: cores.map(({ shape, numbers }) => floatData(shape, numbers, dtype)),
      run: mpoRun ?? 'contracted',
      ...(scales === undefined
        ? {}
        : {
            inputScale: float32Data(
              [matrix.length],
              Float32Array.from(scales, (scale) => 1 / scale),
            ),
          }),
    };
    return mpoRun === undefined && costs !== undefined
      ? { ...form, run: chooseMpoRun(costs.machine, form, costs.rows).run }
      : form;
  };
}

function requireScales(statistics: CompressionContext['statistics']): Float64Array {
  if (statistics === undefined) {
    throw new Error('scaled needs statistics of the inputs');
  }
  return inputScales(statistics);
}
