import { createHash } from 'node:crypto';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { say } from '../message';
import { UserError } from '../user-error';
import { createOwner, isAbandoned, ownerPattern, ownerProcess, releaseOwner } from './owner';
import { resolveLinks } from './partial';

/** Number of attempts to get a lock before reporting the other run. */
const attempts = 3;

/** Results that this process has locked, in case no lock file can be written. */
const lockedResults = new Set<string>();

/**
 * Prevents two runs of this user from writing the same result, because each would continue the other's saved work. The
 * lock is a file in `folder` whose name contains its owner. Abandoned locks are removed.
 * @returns function that releases the lock
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
      throw new UserError(
        'output-locked',
        say`Another run is working on this result (process ${String(lock)}).`,
        {
          file: path,
          remedy: say`Wait until it finishes, stop it, or choose another output.`,
        },
      );
    }
    // If two runs start at the same time, each sees the other's lock; random delays let one retry first.
    await sleep(50 + 200 * Math.random());
  }
}

/**
 * Name of a result in lock file names, the same for all paths that lead to it.
 * @param path absolute, with links resolved
 */
export function resultName(path: string, platform = process.platform): string {
  // These file systems usually ignore case, and macOS also ignores Unicode normalization.
  const ignoresCase = platform === 'darwin' || platform === 'win32';
  const name = ignoresCase ? path.normalize('NFC').toLowerCase() : path;
  return createHash('sha256').update(name).digest('hex').slice(0, 16);
}

/** Returns a function that releases the lock, or the ID of the process that has it. */
async function tryLock(result: string, folder: string): Promise<(() => Promise<void>) | number> {
  if (lockedResults.has(result)) {
    return process.pid;
  }
  lockedResults.add(result);
  const owner = createOwner();
  const file = `${result}-${owner}`;
  const release = async (): Promise<void> => {
    releaseOwner(owner);
    lockedResults.delete(result);
    await rm(file, { force: true }).catch(() => undefined);
  };
  try {
    await mkdir(folder, { recursive: true });
    await writeFile(file, '');
  } catch {
    // Without a lock file, other processes are not blocked, but each file is still written atomically.
    return release;
  }
  const other = await otherProcess(result, folder, owner).catch(() => undefined);
  if (other === undefined) {
    return release;
  }
  await release();
  return other;
}

/** ID of another process with a lock on the same result. Removes abandoned locks. */
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
      return ownerProcess(owner);
    }
    await rm(file, { force: true });
  }
  return undefined;
}

const isOwner = new RegExp(`^${ownerPattern.source}$`);
