import { createHash } from 'node:crypto';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { say } from '../message';
import { UserError } from '../user-error';
import { createOwner, isAbandoned, ownerPattern, processOf, releaseOwner } from './owner';
import { resolveLinks } from './resolve-links';

/** How often a lock is asked for before the other run is named in an error. */
const attempts = 3;

/** Names of the results that runs of this process work on, also if no file can say so. */
const held = new Set<string>();

/**
 * Keeps two runs of this user from working on one result, where each would continue with what the other has saved. The
 * lock is a file in `folder` whose name contains that of its owner; an abandoned one is removed.
 * @returns releases the lock
 * @throws UserError if another run works on the result.
 */
export async function lockOutput(out: string, folder: string): Promise<() => Promise<void>> {
  const path = await resolveLinks(resolve(out));
  const result = join(folder, resultName(path));
  for (let attempt = 1; ; attempt++) {
    const lock = await tryLock(result, folder);
    if (typeof lock !== 'number') {
      return lock;
    }
    if (attempt === attempts) {
      throw new UserError(say`Another run is working on this result (process ${String(lock)}).`, {
        file: path,
        remedy: say`Wait until it is over or stop it, or choose another output.`,
      });
    }
    // Two that begin at once see each other: one of them comes back first.
    await sleep(50 + 200 * Math.random());
  }
}

/**
 * Name of a result in names of locks, the same for all paths that lead to it.
 * @param path links resolved
 */
export function resultName(path: string, platform = process.platform): string {
  // Their file systems usually ignore letter case, and macOS the way in which accents are written.
  const ignoresCase = platform === 'darwin' || platform === 'win32';
  const name = ignoresCase ? path.normalize('NFC').toLowerCase() : path;
  return createHash('sha256').update(name).digest('hex').slice(0, 16);
}

/** Releases the lock, or the number of the process that has it. */
async function tryLock(result: string, folder: string): Promise<(() => Promise<void>) | number> {
  if (held.has(result)) {
    return process.pid;
  }
  held.add(result);
  const owner = createOwner();
  const file = `${result}-${owner}`;
  const release = async (): Promise<void> => {
    releaseOwner(owner);
    held.delete(result);
    await rm(file, { force: true }).catch(() => undefined);
  };
  try {
    await mkdir(folder, { recursive: true });
    await writeFile(file, '');
  } catch {
    // Other processes are not kept out. What is written is whole even so.
    return release;
  }
  const other = await otherProcess(result, folder, owner).catch(() => undefined);
  if (other === undefined) {
    return release;
  }
  await release();
  return other;
}

/** Number of a process with another lock on the same result. Abandoned locks are removed. */
async function otherProcess(
  result: string,
  folder: string,
  own: string,
): Promise<number | undefined> {
  for (const name of await readdir(folder)) {
    const file = join(folder, name);
    const owner = file.slice(result.length + 1);
    if (!file.startsWith(`${result}-`) || !isOwner.test(owner) || owner === own) {
      continue;
    }
    if (!isAbandoned(owner)) {
      return processOf(owner);
    }
    await rm(file, { force: true });
  }
  return undefined;
}

const isOwner = new RegExp(`^${ownerPattern.source}$`);
