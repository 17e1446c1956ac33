import { createHash } from 'node:crypto';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { say } from '../message';
import { UserError } from '../user-error';
import { isRunning } from './partial';

/**
 * Keeps two processes of this user from working on one result, where each would go on with what the other has saved. The
 * lock is a file of the process in `folder`; that of one that has ended counts for nothing.
 * @returns what lets others in
 * @throws UserError where another process works on it.
 */
export async function lockOutput(out: string, folder: string): Promise<() => Promise<void>> {
  const path = resolve(out);
  const prefix = `${createHash('sha256').update(path).digest('hex').slice(0, 16)}-`;
  const own = join(folder, `${prefix}${process.pid}`);
  const release = async (): Promise<void> => rm(own, { force: true }).catch(() => undefined);
  try {
    await mkdir(folder, { recursive: true });
    await writeFile(own, '');
  } catch {
    // What is written is whole even so.
    return release;
  }
  // Of two that begin at once both may see the other: then neither works, which harms nothing.
  for (const name of (await readdir(folder)).filter((one) => one.startsWith(prefix))) {
    const pid = Number(name.slice(prefix.length));
    if (!isRunning(pid)) {
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
