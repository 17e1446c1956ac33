import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { uptime } from 'node:os';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { say } from '../message';
import { UserError } from '../user-error';
import { birthOf, isRunning } from './partial';

/** Runs of this process so far: each has a lock of its own. */
let runs = 0;

/**
 * Keeps two processes of this user from working on one result, where each would go on with what the other has saved. The
 * lock is a file in `folder` that names its process; that of one that has ended counts for nothing.
 * @returns what lets others in
 * @throws UserError where another process works on it.
 */
export async function lockOutput(out: string, folder: string): Promise<() => Promise<void>> {
  const path = resolve(out);
  const prefix = `${createHash('sha256').update(path).digest('hex').slice(0, 16)}-`;
  const own = `${prefix}${process.pid}-${runs++}`;
  const release = async (): Promise<void> =>
    rm(join(folder, own), { force: true }).catch(() => undefined);
  try {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, own), birthOf(process.pid));
  } catch {
    // What is written is whole even so.
    return release;
  }
  const others = (await readdir(folder)).filter((one) => one.startsWith(prefix) && one !== own);
  // Of two that begin at once both may see the other: then neither works, which harms nothing.
  for (const name of others) {
    const pid = Number.parseInt(name.slice(prefix.length), 10);
    if (!(await isHeld(join(folder, name), pid))) {
      await rm(join(folder, name), { force: true });
    } else if (pid !== process.pid) {
      await release();
      throw new UserError(say`Another run is working on this result (process ${String(pid)}).`, {
        file: path,
        remedy: say`Wait until it is over or stop it, or choose another output.`,
      });
    }
  }
  return release;
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
