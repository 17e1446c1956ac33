import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * @template T
 * @param {(folder: string) => Promise<T>} action
 */
export async function inTemporaryFolder(action) {
  const folder = await mkdtemp(join(tmpdir(), 'espalier-bench-'));
  try {
    return await action(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * @template T
 * @param {string | undefined} keep a folder that stays; undefined for a temporary one
 * @param {(folder: string) => Promise<T>} action
 */
export async function inFolder(keep, action) {
  if (keep === undefined) return inTemporaryFolder(action);
  await mkdir(keep, { recursive: true });
  return action(keep);
}
