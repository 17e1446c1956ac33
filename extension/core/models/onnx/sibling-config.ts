import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { readModelText, resolveModelFile } from '../../checkpoints/model-file';
import { parseJsonOrUndefined } from '../../parse-json';
import type { ConfigFields } from '../transformer/model-config';

export const configName = 'config.json';

/**
 * Fields and text of the config.json next to a graph, or above a folder that is called `onnx`. A file that cannot be
 * read is ignored.
 * @throws UserError if it is a link out of its folder.
 */
export async function siblingConfig(
  folder: string,
): Promise<{ readonly fields: ConfigFields; readonly text: string | undefined }> {
  const above = basename(folder) === 'onnx' ? [dirname(folder)] : [];
  for (const place of [folder, ...above]) {
    const file = join(place, configName);
    if (!existsSync(file)) {
      continue;
    }
    await resolveModelFile(file);
    const text = await readModelText(file).catch(() => undefined);
    const config = text === undefined ? undefined : parseJsonOrUndefined(text);
    if (typeof config === 'object' && config !== null) {
      return { fields: { ...config }, text };
    }
  }
  return { fields: {}, text: undefined };
}
