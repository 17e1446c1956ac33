import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { startSeconds } from '../../../extension/core/jobs/owner';

/** Owner in the names of what a running process writes. */
export const readOwner = (pid: number): string => `${pid}-${readStart(pid)}-0a1b2c3d`;

/** Owner in the names of what a process left that has ended. */
export const endedOwner = (): string => `${spawnSync(process.execPath, ['-e', '']).pid}-1-0a1b2c3d`;

function readStart(pid: number): number {
  if (process.platform !== 'linux') return startSeconds(pid) ?? 0;
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[19]);
}
