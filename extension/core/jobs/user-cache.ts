import { homedir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';

/** Where what work costs on this machine is kept. */
export function costsFolder(): string {
  return join(userCacheFolder(), 'costs');
}

/** Where processes say which results they are working on. */
export function locksFolder(): string {
  return join(userCacheFolder(), 'locks');
}

/** Records of folders that are being replaced. */
export function replacedFolder(): string {
  return join(userCacheFolder(), 'replaced');
}

/** Folder of the user's cache that Espalier keeps what it can find out again in. */
export function userCacheFolder(): string {
  const cache =
    process.env['XDG_CACHE_HOME'] ??
    (process.platform === 'win32' ? process.env['LOCALAPPDATA'] : undefined) ??
    join(homedir(), '.cache');
  return join(cache, 'espalier');
}
