import { basename, dirname, join } from 'node:path';
import { readSmallText } from '../../checkpoints/regular-file';
import type { ConfigFields } from '../transformer/config-layout';

/**
 * Fields of the config.json beside a graph, or above a folder that is called `onnx`; what cannot be read tells
 * nothing.
 */
export async function configBeside(folder: string): Promise<ConfigFields> {
  const above = basename(folder) === 'onnx' ? [dirname(folder)] : [];
  for (const place of [folder, ...above]) {
    try {
      const config: unknown = JSON.parse(await readSmallText(join(place, 'config.json')));
      if (typeof config === 'object' && config !== null) {
        return { ...config };
      }
    } catch {
      // Not there, or no model's.
    }
  }
  return {};
}
