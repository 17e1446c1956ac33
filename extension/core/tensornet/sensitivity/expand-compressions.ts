import type { LinearLayer } from '../../models/matrix-encoding';
import type { Compression, CompressionRequest } from '../compression-choice';
import { compressionMethods } from '../compression-methods';

/** Expands requests to compressions of a layer; a method without a level expands to all its default levels. */
export function expandCompressions(
  layer: Pick<LinearLayer, 'out' | 'in'>,
  requests: readonly CompressionRequest[],
): Compression[] {
  const found = requests.flatMap(({ ...request }): Compression[] => {
    const { levels, levelForRatio, fittingLevel } = compressionMethods[request.method];
    const { ratio, level, ...rest } = { ratio: undefined, level: undefined, ...request };
    if (level !== undefined) {
      return [{ ...rest, level: fittingLevel?.(layer, level) ?? level }];
    }
    if (ratio !== undefined && levelForRatio !== undefined) {
      return [{ ...rest, level: levelForRatio(layer, ratio, rest) }];
    }
    return levels(layer).map((one) => ({ ...rest, level: one }));
  });
  return [...new Map(found.map((one) => [compressionKey(one), one])).values()];
}

/** Key of a compression of one layer. */
export function compressionKey({ method, level, variant, then, sites }: Compression): string {
  return JSON.stringify([method, level, variant ?? null, then ?? null, sites ?? null]);
}
