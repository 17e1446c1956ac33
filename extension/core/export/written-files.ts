import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { readModelText } from '../checkpoints/model-file';
import { manifestName } from '../document-names';
import { isSystemFile } from '../jobs/system-file';
import { jsonOf } from '../parse-json';

const manifest = v.object({ format: v.literal('espalier.manifest'), files: v.array(v.string()) });

/**
 * First entry of a folder, by name, that the manifest in it does not list: Espalier did not write it. Undefined if
 * Espalier wrote all of them. Files of the operating system don't count.
 */
export async function findForeignEntry(folder: string): Promise<string | undefined> {
  const text = await readModelText(join(folder, manifestName)).catch(() => '');
  const parsed = v.safeParse(manifest, jsonOf(text));
  return foreignEntry(folder, '', new Set(parsed.success ? parsed.output.files : []));
}

/** @param prefix path of the folder that is read, with slashes, relative to the outermost one */
async function foreignEntry(
  folder: string,
  prefix: string,
  written: ReadonlySet<string>,
): Promise<string | undefined> {
  const entries = await readdir(join(folder, prefix), { withFileTypes: true });
  const others = entries.filter((entry) => !isSystemFile(entry));
  for (const entry of others.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const name = `${prefix}${entry.name}`;
    const below = `${name}/`;
    const isWritten = entry.isDirectory()
      ? [...written].some((file) => file.startsWith(below))
      : written.has(name);
    if (!isWritten) {
      return name;
    }
    const inner = entry.isDirectory() ? await foreignEntry(folder, below, written) : undefined;
    if (inner !== undefined) {
      return inner;
    }
  }
  return undefined;
}
