import { createHash } from 'node:crypto';
import { basename, dirname, join, resolve } from 'node:path';
import process from 'node:process';
import { lstat, mkdir } from 'node:fs/promises';
import { say } from '../message';
import type { Message } from '../message';
import { UserError } from '../user-error';
import { onPath } from './write-document';
import type { Dirent } from 'node:fs';

/** Suffixes of the folders in which jobs keep unfinished work until the result is written. */
const suffixes = {
  ...{ compress: 'forms', repair: 'repair', patch: 'patch' },
  ...{ widths: 'widths', round: 'rounding' },
} as const;

/**
 * Environment variable with a folder for unfinished work of this process and its children. The editor sets it to keep
 * such files out of the workspace. If unset, they are written next to the result.
 */
export const workRoot = 'ESPALIER_WORK_FOLDER';

/**
 * Path of unfinished work for `out`.
 * @param name returns its name next to the result
 */
function unfinishedPath(out: string, name: (base: string) => string): string {
  const path = resolve(out);
  const root = process.env[workRoot];
  if (root === undefined) {
    return join(dirname(path), name(basename(path)));
  }
  const hash = createHash('sha256').update(dirname(path)).digest('hex').slice(0, 16);
  return join(root, hash, name(basename(path)));
}

/** Hidden folder in which a job keeps unfinished work until `out` is written. */
export const workFolder = (out: string, kind: keyof typeof suffixes): string =>
  unfinishedPath(out, (base) => `.${base}.espalier-${suffixes[kind]}`);

/** Folders of a job that applies a plan and writes the model `out`. */
export const applyFolders = (out: string): readonly string[] => [
  workFolder(out, 'compress'),
  workFolder(out, 'round'),
];

/** Path of the journal of a job that writes the document `out`. */
export const documentJournal = (out: string): string =>
  unfinishedPath(out, (base) => `${base.replace(/\.json$/, '')}.journal.jsonl`);

/** Folder in which training runs are kept until the document `out` is written. */
export const documentRunsFolder = (out: string): string =>
  unfinishedPath(out, (base) => `${base}.runs`);

/** Path of the journal of an evolution that writes to the folder `out`. */
export const evolutionJournal = (out: string): string => join(out, 'synthesis.journal.jsonl');

/**
 * Creates a folder for unfinished work if it doesn't exist. A symbolic link of this name may be part of a repository
 * and point anywhere, so it is never followed.
 * @throws UserError if it cannot be created, or if something other than a folder has its name.
 */
export async function makeWorkFolder(path: string): Promise<void> {
  await onPath(path, async () => {
    await mkdir(dirname(path), { recursive: true });
    await mkdir(path).catch(async (error: unknown) => {
      if ((await lstat(path).catch(() => undefined))?.isDirectory() === true) {
        return;
      }
      throw (error as NodeJS.ErrnoException).code === 'EEXIST'
        ? new UserError(
            'work-folder-taken',
            say`The folder for unfinished work is a link or a file.`,
            { file: path, remedy: say`Remove it, or choose another output.` },
          )
        : error;
    });
  });
}

/** @throws UserError with `remedy` if the folder can't be created */
export async function makeFolder(path: string, remedy: Message): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    throw new UserError(
      'folder-not-creatable',
      say`The folder can't be created: ${(error as Error).message}.`,
      { file: path, remedy },
    );
  }
}

const names: ReadonlySet<string> = new Set(['.DS_Store', 'Thumbs.db', 'desktop.ini']);

/** True for files that the operating system creates in folders, such as `.DS_Store`. */
export const isSystemFile = (entry: Dirent): boolean => entry.isFile() && names.has(entry.name);
