import { existsSync } from 'node:fs';
import { link, mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { duration, say } from './terminal.mjs';

/** The user's cache folder for tools that are too large for the checkout. */
export function cacheFolder() {
  const { XDG_CACHE_HOME: xdg, LOCALAPPDATA: local } = process.env;
  if (xdg) return join(xdg, 'espalier');
  if (process.platform === 'win32' && local) return join(local, 'espalier', 'cache');
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'espalier');
  return join(homedir(), '.cache', 'espalier');
}

/**
 * A folder of the cache, filled once. It is built in a temporary sibling and renamed when whole, so that an
 * interrupted installation leaves nothing that looks finished; a second caller waits for the first.
 * @param {string} name such as `code-server-4.139.1`
 * @param {(folder: string) => Promise<void>} install fills the folder
 * @returns {Promise<string>} the folder
 */
export async function cached(name, install) {
  const folder = join(cacheFolder(), name);
  const stamp = join(folder, '.complete');
  if (existsSync(stamp)) return folder;
  await withLock(`${folder}.lock`, async () => {
    if (existsSync(stamp)) return;
    await removeLeftovers(folder);
    const partial = `${folder}.partial-${process.pid}`;
    const start = Date.now();
    say(`Installing ${name} into ${folder} (once)`);
    await mkdir(partial, { recursive: true });
    await install(partial);
    await writeFile(join(partial, '.complete'), `${new Date().toISOString()}\n`);
    await rm(folder, { recursive: true, force: true });
    await rename(partial, folder);
    say(`Installed ${name} in ${duration(Date.now() - start)}`);
  });
  return folder;
}

/** @param {string} folder */
async function removeLeftovers(folder) {
  const prefix = `${basename(folder)}.partial-`;
  for (const entry of await readdir(dirname(folder))) {
    if (entry.startsWith(prefix))
      await rm(join(dirname(folder), entry), { recursive: true, force: true });
  }
}

/**
 * Runs an action while no other process does. Takes over the lock of a process that has ended.
 * @param {string} file
 * @param {() => Promise<void>} action
 */
export async function withLock(file, action) {
  await mkdir(dirname(file), { recursive: true });
  const own = `${file}-${process.pid}`;
  await writeFile(own, String(process.pid));
  try {
    for (let isReported = false; !(await tryLink(own, file));) {
      const holder = Number(await readFile(file, 'utf8').catch(() => ''));
      if (holder > 0 && !isRunning(holder)) {
        await rm(file, { force: true });
        continue;
      }
      if (!isReported) say(`Waiting for process ${holder}, which is installing (${file})`);
      isReported = true;
      await sleep(500);
    }
    await action().finally(() => rm(file, { force: true }));
  } finally {
    await rm(own, { force: true });
  }
}

/**
 * Gives a whole file a second name unless that name is taken: unlike creating it, never seen half-written.
 * @param {string} from
 * @param {string} to
 */
async function tryLink(from, to) {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

/** @param {number} pid */
function isRunning(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
