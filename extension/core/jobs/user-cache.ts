import { homedir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';

/** Folder with measured costs of work on this machine. */
export function costsFolder(): string {
  return join(userCacheFolder(), 'costs');
}

/** Folder with lock files for results that processes are writing. */
export function locksFolder(): string {
  return join(userCacheFolder(), 'locks');
}

/** Records of folders that are being replaced. */
export function replacedFolder(): string {
  return join(userCacheFolder(), 'replaced');
}

/** Cache folder of the user, for data that Espalier can recreate. */
export function userCacheFolder(): string {
  const cache =
    process.env['XDG_CACHE_HOME'] ??
    (process.platform === 'win32' ? process.env['LOCALAPPDATA'] : undefined) ??
    join(homedir(), '.cache');
  return join(cache, 'espalier');
}
