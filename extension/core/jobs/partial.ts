import { readFileSync } from 'node:fs';
import { access, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import process from 'node:process';
import { defaultDocumentPath } from '../document-names';
import { resolveLinks } from './resolve-links';

const nameOf = (path: string, kind: 'partial' | 'old', pid: number | string): string =>
  `.${basename(path)}.espalier-${kind}-${pid}`;

/** Where a file or folder is written until it is whole: hidden beside its place, named by this process. */
export function partialOf(path: string): string {
  return join(dirname(path), nameOf(path, 'partial', process.pid));
}

/** Where a folder waits that is being replaced. */
export function asideOf(path: string): string {
  return join(dirname(path), nameOf(path, 'old', process.pid));
}

/** Whether a file or folder of this name is being written. */
export const isPartial = (name: string): boolean => /^\..+\.espalier-partial-\d+$/.test(name);

/**
 * Removes what processes that were killed have left of a file or folder; what one of them had moved aside and not
 * replaced yet is put back. A running one's is kept.
 */
export async function removeStale(path: string): Promise<void> {
  const parent = dirname(path);
  for (const name of await readdir(parent)) {
    const pid = Number(/\d+$/.exec(name)?.[0] ?? Number.NaN);
    const isAside = name === nameOf(path, 'old', pid);
    if ((!isAside && name !== nameOf(path, 'partial', pid)) || isRunning(pid)) {
      continue;
    }
    const left = join(parent, name);
    await (isAside && !(await exists(path))
      ? rename(left, path)
      : rm(left, { recursive: true, force: true }));
  }
}

/** Removes leftovers of killed runs beside a result, and beside the plan of a model. */
export async function removeLeftovers(out: string): Promise<void> {
  const real = await resolveLinks(resolve(out));
  for (const path of [real, defaultDocumentPath('plan', real)]) {
    // The folder of both may be gone.
    await removeStale(path).catch(() => undefined);
  }
}

/** Whether there is a file or folder. */
export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Removes folders that were made for something that is not kept, as far as they are empty. */
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

/** Whether a process of this machine is there and has not ended. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
  // One that has ended keeps its number until its parent has asked for its end.
  return !/^[ZX]$/.test(statusOf(pid)[0] ?? '') && !isThread(pid);
}

/** Whether the number has become that of a thread of another process, which Linux takes for a process's. */
function isThread(pid: number): boolean {
  try {
    const [, leader] = /^Tgid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
    return leader !== undefined && Number(leader) !== pid;
  } catch {
    return false;
  }
}

/** When a process began, in ticks since the system's start; empty where it is gone, and on other systems than Linux. */
export function birthOf(pid: number): string {
  return statusOf(pid)[19] ?? '';
}

/** What proc_pid_stat(5) has behind a process's name, its state first; nothing on other systems than Linux. */
function statusOf(pid: number): string[] {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return [];
  }
}
