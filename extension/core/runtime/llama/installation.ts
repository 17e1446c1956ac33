import { rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as v from 'valibot';
import { exists } from '../../jobs/partial';
import { userCacheFolder } from '../../jobs/user-cache';
import { say } from '../../message';
import { parseJsonText } from '../../parse-json';
import { readSmallText } from '../../regular-file';
import { UserError } from '../../user-error';

const plainPath = v.pipe(
  v.string(),
  v.check((path) => !path.split(/[/\\]/).some((part) => ['', '.', '..'].includes(part))),
);

/** Record of an installation, written last. */
const installationSchema = v.object({
  format: v.literal('espalier.llama'),
  name: v.string(),
  version: v.string(),
  /** Release of llama.cpp. */
  llamaCpp: v.string(),
  /** Path of the addon in the folder. */
  addon: plainPath,
  /** Paths of all files in the folder. */
  files: v.array(plainPath),
});

type LlamaRecord = v.InferOutput<typeof installationSchema>;

/** Installed llama.cpp. */
export type LlamaInstallation = LlamaRecord & { readonly folder: string };

/** Folder of the user's cache with the package. */
export const llamaFolder = (): string => join(userCacheFolder(), 'llama');

const recordName = 'installed.json';

/** Path of the record of an installation. */
export const recordPath = (folder: string): string => join(folder, recordName);

/** Text of the record of an installation. */
export const formatRecord = (record: LlamaRecord): string => `${JSON.stringify(record, null, 2)}\n`;

/** llama.cpp if the user has installed it; undefined if not, or if its files are missing. */
export async function installedLlama(
  folder = llamaFolder(),
): Promise<LlamaInstallation | undefined> {
  const text = await readSmallText(recordPath(folder)).catch(() => undefined);
  if (text === undefined) {
    return undefined;
  }
  const record = parseRecord(text);
  return record !== undefined && (await exists(join(folder, record.addon)))
    ? { ...record, folder }
    : undefined;
}

function parseRecord(text: string): LlamaRecord | undefined {
  try {
    return v.parse(installationSchema, parseJsonText(text));
  } catch {
    return undefined;
  }
}

/**
 * Deletes an installation's files and folders that become empty.
 * @throws UserError if nothing is installed
 */
export async function removeLlama(folder = llamaFolder()): Promise<LlamaInstallation> {
  const installed = await installedLlama(folder);
  if (installed === undefined) {
    throw new UserError('llama-not-installed', say`llama.cpp is not installed.`, {
      field: 'remove',
      remedy: say`There is nothing to remove in ${folder}.`,
    });
  }
  await rm(recordPath(folder));
  const folders = new Set([folder]);
  for (const file of installed.files) {
    await rm(join(folder, file), { force: true });
    for (let parent = dirname(file); parent !== '.'; parent = dirname(parent)) {
      folders.add(join(folder, parent));
    }
  }
  for (const one of [...folders].sort((a, b) => b.length - a.length)) {
    await rmdir(one).catch(() => undefined);
  }
  return installed;
}
