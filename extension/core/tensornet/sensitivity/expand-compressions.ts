import type { LinearLayer } from '../../models/matrix-encoding';
import type { Compression, CompressionRequest } from '../compression-choice';
import { compressionMethods } from '../compression-methods';

/** Expands requests to compressions of a layer; a method without a setting expands to all its default settings. */
export function expandCompressions(
  layer: Pick<LinearLayer, 'out' | 'in'>,
  requests: readonly CompressionRequest[],
): Compression[] {
  const found = requests.flatMap(({ ...request }): Compression[] => {
    const { settings, settingForRatio, fittingSetting } = compressionMethods[request.method];
    const { ratio, setting, ...rest } = { ratio: undefined, setting: undefined, ...request };
    if (setting !== undefined) {
      return [{ ...rest, setting: fittingSetting?.(layer, setting) ?? setting }];
    }
    if (ratio !== undefined && settingForRatio !== undefined) {
      return [{ ...rest, setting: settingForRatio(layer, ratio, rest) }];
    }
    return settings(layer).map((one) => ({ ...rest, setting: one }));
  });
  return [...new Map(found.map((one) => [compressionKey(one), one])).values()];
}

/** Key of a compression of one layer. */
export function compressionKey({ method, setting, variant, then, sites }: Compression): string {
  return JSON.stringify([method, setting, variant ?? null, then ?? null, sites ?? null]);
}
