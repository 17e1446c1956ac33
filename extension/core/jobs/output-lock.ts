import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { uptime } from 'node:os';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { say } from '../message';
import { UserError } from '../user-error';
import { birthOf, isRunning } from './partial';
import { resolveLinks } from './resolve-links';

/** How often a lock is asked for before somebody else is said to have it. */
const attempts = 3;

/** Runs of this process so far: each has a lock of its own. */
let runs = 0;

/**
 * Keeps two processes of this user from working on one result, where each would go on with what the other has saved. The
 * lock is a file in `folder` that names its process; that of one that has ended counts for nothing.
 * @returns what lets others in
 * @throws UserError where another process works on it.
 */
export async function lockOutput(out: string, folder: string): Promise<() => Promise<void>> {
  const path = await resolveLinks(resolve(out));
  const prefix = `${createHash('sha256').update(path).digest('hex').slice(0, 16)}-`;
  const own = `${prefix}${process.pid}-${runs++}`;
  const release = async (): Promise<void> =>
    rm(join(folder, own), { force: true }).catch(() => undefined);
  const take = async (): Promise<void> => writeFile(join(folder, own), birthOf(process.pid));
  try {
    await mkdir(folder, { recursive: true });
    await take();
  } catch {
    // What is written is whole even so.
    return release;
  }
  for (let attempt = 1; ; attempt++) {
    const holder = await otherHolder(folder, prefix, own).catch(() => undefined);
    if (holder === undefined) {
      return release;
    }
    await release();
    if (attempt === attempts) {
      throw new UserError(say`Another run is working on this result (process ${String(holder)}).`, {
        file: path,
        remedy: say`Wait until it is over or stop it, or choose another output.`,
      });
    }
    // Two that begin at once see each other: one of them comes back first.
    await sleep(50 + 200 * Math.random());
    await take().catch(() => undefined);
  }
}

/** The process of another lock on the same that counts; those that don't are removed. */
async function otherHolder(
  folder: string,
  prefix: string,
  own: string,
): Promise<number | undefined> {
  for (const name of await readdir(folder)) {
    const pid = Number.parseInt(name.slice(prefix.length), 10);
    if (!name.startsWith(prefix) || name === own) {
      continue;
    }
    if (!(await isHeld(join(folder, name), pid))) {
      await rm(join(folder, name), { force: true });
    } else if (pid !== process.pid) {
      return pid;
    }
  }
  return undefined;
}

/** Whether a lock's process is there: its number may be that of another by now, as after a restart of the system. */
async function isHeld(lock: string, pid: number): Promise<boolean> {
  if (!isRunning(pid)) {
    return false;
  }
  try {
    const birth = await readFile(lock, 'utf8');
    return birth === ''
      ? (await stat(lock)).mtimeMs >= Date.now() - 1000 * uptime()
      : birth === birthOf(pid);
  } catch {
    // It has just been released.
    return false;
  }
}
