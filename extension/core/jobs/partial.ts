import { createHash } from 'node:crypto';
import {
  access,
  mkdir,
  readdir,
  rename,
  rm,
  rmdir,
  writeFile,
  readlink,
  realpath,
} from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { defaultDocumentPath } from '../document-names';
import { readSmallText } from '../regular-file';
import { createOwner, isAbandoned, ownerPattern, releaseOwner } from './owner';
import { replacedFolder } from './user-cache';

const hiddenName = (path: string, kind: 'partial' | 'old', owner: string): string =>
  join(dirname(path), `.${basename(path)}.espalier-${kind}-${owner}`);

const hidden = new RegExp(`^\\.(.+)\\.espalier-(partial|old)-(${ownerPattern.source})$`, 's');

/**
 * Returns a new hidden name next to `path`, under which a file or folder is written until it is complete. Call {@link
 * releaseHidden} afterwards.
 */
export function partialPath(path: string): string {
  return hiddenName(path, 'partial', createOwner());
}

/** Marks a hidden name as no longer used by this process. The next run removes any file left there. */
export function releaseHidden(path: string): void {
  const [, , , owner] = hidden.exec(basename(path)) ?? [];
  if (owner !== undefined) {
    releaseOwner(owner);
  }
}

/** True for names of files and folders that are still being written. */
export const isPartial = (name: string): boolean => hidden.exec(name)?.[2] === 'partial';

/**
 * Moves a folder that is being replaced to a hidden name next to it. The user's cache records the name, and only
 * recorded folders are restored: a repository can contain a folder with such a name.
 * @returns hidden name, for {@link restoreAside} or {@link removeAside}
 */
export async function moveAside(path: string): Promise<string> {
  const aside = hiddenName(path, 'old', createOwner());
  try {
    // Without the record, the folder keeps its hidden name if this process is killed now.
    await mkdir(replacedFolder(), { recursive: true })
      .then(async () => writeFile(recordPath(aside), aside))
      .catch(() => undefined);
    await rename(path, aside);
    return aside;
  } catch (error) {
    await forget(aside);
    throw error;
  }
}

/** Restores a folder that was moved aside. */
export async function restoreAside(aside: string, path: string): Promise<void> {
  try {
    await rename(aside, path);
    await forget(aside);
  } finally {
    releaseHidden(aside);
  }
}

/** Deletes a folder that was moved aside. Renames it first, so that a partly deleted folder is never restored. */
export async function removeAside(aside: string): Promise<void> {
  const doomed = join(
    dirname(aside),
    basename(aside).replace(/-old-(?=[^-]+-[^-]+-[^-]+$)/, '-partial-'),
  );
  try {
    await rename(aside, doomed);
    await forget(aside);
    await rm(doomed, { recursive: true, force: true });
  } finally {
    releaseHidden(aside);
  }
}

const recordPath = (aside: string): string =>
  join(replacedFolder(), createHash('sha256').update(aside).digest('hex').slice(0, 32));

async function isRecorded(aside: string): Promise<boolean> {
  return (await readSmallText(recordPath(aside)).catch(() => undefined)) === aside;
}

async function forget(aside: string): Promise<void> {
  releaseHidden(aside);
  await rm(recordPath(aside), { force: true }).catch(() => undefined);
}

/**
 * Removes hidden files and folders next to `path` that ended processes left. A folder that was moved aside and not yet
 * replaced is restored.
 */
export async function removeStale(path: string): Promise<void> {
  const parent = dirname(path);
  for (const name of await readdir(parent)) {
    const [, base, kind, owner = ''] = hidden.exec(name) ?? [];
    if (base !== basename(path) || !isAbandoned(owner)) {
      continue;
    }
    const left = join(parent, name);
    if (kind === 'partial') {
      await rm(left, { recursive: true, force: true });
    } else if (await isRecorded(left)) {
      await ((await exists(path)) ? removeAside(left) : restoreAside(left, path));
    }
  }
}

/** Maximum number of dangling links that are followed, as in Linux. */
const maxLinks = 40;

/** Path with all links resolved. Its last parts may not exist yet, even if a link points to them. */
export async function resolveLinks(path: string, links = maxLinks): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    const parent = dirname(path);
    if (parent === path) {
      return path;
    }
    const place = join(await resolveLinks(parent, links), basename(path));
    const target = links > 0 ? await readlink(place).catch(() => undefined) : undefined;
    return target === undefined ? place : resolveLinks(resolve(dirname(place), target), links - 1);
  }
}

/** Removes files that killed runs left next to a result and next to the plan of a model. */
export async function removeLeftovers(out: string): Promise<void> {
  const real = await resolveLinks(resolve(out));
  for (const path of [real, defaultDocumentPath('plan', real)]) {
    // The parent folder may no longer exist.
    await removeStale(path).catch(() => undefined);
  }
}

/** True if a file or folder exists at this path. */
export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Removes empty parent folders that were created for a discarded result. */
export async function removeEmptyParents(
  parent: string,
  outermost: string | undefined,
): Promise<void> {
  for (let folder = parent; outermost !== undefined; folder = dirname(folder)) {
    const removed = await rmdir(folder).then(
      () => true,
      () => false,
    );
    if (!removed || folder === outermost) {
      return;
    }
  }
}
