import type { TensorData } from '../checkpoints/lazy-tensor';
import type { MatrixEncoding, MpoEncoding } from '../models/matrix-encoding';
import type { Compression, SiteChoice } from './compression-choice';
import type { CompressionContext, MatrixWork } from './compression-context';
import { chooseMpoRun } from './costs/machine-costs';
import { inputScales } from './statistics/statistics-accumulator';
import { tensorize, bondFor, bondSizes, factorize } from './mpo';
import { float32Data, floatData, scaleColumns } from './tensor-values';
import type { SiteSizes } from './mpo';

/** Matrix that is tensorized: the weights (`plain`), or the weights scaled by mean |x|^½ (`scaled`). */
export const mpoVariants = ['plain', 'scaled'] as const;

/** Number of sites in the paper's examples. */
const defaultSites = 3;
const fewestSites = 2;

/**
 * Sites of a matrix. By default three with factors as equal as possible, or two if a size can't be divided into three.
 * A prime has the factors 1 and itself: padding would cost more in every matmul than unequal sites.
 */
export function chooseSites(out: number, inputs: number, choice?: SiteChoice): SiteSizes {
  if (typeof choice === 'object') {
    return choice;
  }
  const count =
    choice ??
    ([out, inputs].every((size) => factorize(size, defaultSites)[0] !== 1)
      ? defaultSites
      : fewestSites);
  return { out: factorize(out, count), in: factorize(inputs, count) };
}

/** Largest bond dimension whose cores have at most `ratio` of the matrix's elements; 1 if none has. */
export function bondForRatio(sites: SiteSizes, ratio: number): number {
  const numbers = [...sites.out, ...sites.in].reduce((all, size) => all * size, 1);
  const bond = bondFor(sites, ratio * numbers) ?? 1;
  // Above the largest useful bond nothing changes.
  return Math.min(bond, Math.max(...bondSizes(sites, bond)));
}

/** MPOs up to a bond dimension, with truncations that are optimal in a variant's metric. */
export function prepareMpo(
  { context, name, matrix }: MatrixWork,
  variant: string,
  highest: number,
): (compression: Pick<Compression, 'setting' | 'sites'>) => Promise<MatrixEncoding<TensorData>> {
  const { products, statistics, seed = 0, dtype = 'F32', mpoRun, costs } = context;
  const scales = variant === 'scaled' ? requireScales(statistics) : undefined;
  const scaled = scales === undefined ? matrix : scaleColumns(matrix, scales);
  const known = new Map<string, ReturnType<typeof tensorize>>();
  return async ({ setting, sites: choice }) => {
    const sites = chooseSites(matrix.count, matrix.length, choice);
    const key = JSON.stringify(sites);
    const at = known.get(key) ?? tensorize(products, name, scaled, sites, highest, seed);
    known.set(key, at);
    const { cores } = await (await at)(setting);
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
