import { basename, dirname, join } from 'node:path';
import { readSmallText } from '../../checkpoints/regular-file';
import { jsonOf } from '../../parse-json';
import type { ConfigFields } from '../transformer/config-layout';

export const configName = 'config.json';

/**
 * Fields of the config.json beside a graph, or above a folder that is called `onnx`, and its text; what cannot be
 * read tells nothing.
 */
export async function configBeside(
  folder: string,
): Promise<{ readonly fields: ConfigFields; readonly text: string | undefined }> {
  const above = basename(folder) === 'onnx' ? [dirname(folder)] : [];
  for (const place of [folder, ...above]) {
    const text = await readSmallText(join(place, configName)).catch(() => undefined);
    const config = text === undefined ? undefined : jsonOf(text);
    if (typeof config === 'object' && config !== null) {
      return { fields: { ...config }, text };
    }
  }
  return { fields: {}, text: undefined };
}
