import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import process from 'node:process';

/** Matches what {@link createOwner} returns: process number, start time, random part. */
export const ownerPattern = /\d+-\d+-[0-9a-f]{8}/;

/** Owners that this process created and has not released. */
const own = new Set<string>();

/**
 * A name for one piece of work in the names of its hidden files and locks. It contains the number and the start time of
 * this process, since numbers repeat: in containers most processes have the number 1.
 */
export function createOwner(): string {
  const owner = `${process.pid}-${ownStart()}-${randomBytes(4).toString('hex')}`;
  own.add(owner);
  return owner;
}

/** Ends the work of an owner: what it left counts as abandoned. */
export function releaseOwner(owner: string): void {
  own.delete(owner);
}

/** Number of the process that created an owner. */
export const processOf = (owner: string): number => Number.parseInt(owner, 10);

/** True if nobody works under this name any more: its process has ended, or it is this one and has released it. */
export function isAbandoned(owner: string): boolean {
  const pid = processOf(owner);
  if (pid === process.pid) {
    return !own.has(owner);
  }
  return !isRunning(pid) || !startedAt(pid, Number(owner.split('-')[1]));
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

/** Start times that two programs name may differ by rounding, in seconds. */
const roundingSeconds = 2;

/** Start time of this process: clock ticks since the system's start if there is a /proc, else seconds since 1970. */
const ownStart = (): number => ticksOf(process.pid) ?? Math.round(performance.timeOrigin / 1000);

/** False if the process with this number started at another time. */
function startedAt(pid: number, start: number): boolean {
  if (ticksOf(process.pid) !== undefined) {
    return ticksOf(pid) === start;
  }
  const seconds = startSeconds(pid);
  return seconds === undefined || Math.abs(seconds - start) <= roundingSeconds;
}

function ticksOf(pid: number): number | undefined {
  const ticks = statusOf(pid)[19];
  return ticks === undefined ? undefined : Number(ticks);
}

/** State, start time and so on of proc_pid_stat(5), without the process's name; empty if there is no /proc. */
function statusOf(pid: number): string[] {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return [];
  }
}

/** Start time of a process in seconds since 1970, as the system's own program says; undefined if unknown. */
export function startSeconds(pid: number): number | undefined {
  const [program, ...args] =
    process.platform === 'win32'
      ? ['powershell', '-NoProfile', '-Command', `(Get-Process -Id ${pid}).StartTime.ToString('o')`]
      : ['ps', '-o', 'lstart=', '-p', String(pid)];
  try {
    const text = execFileSync(program, args, {
      ...{ encoding: 'utf8', timeout: 5000, windowsHide: true },
      stdio: ['ignore', 'pipe', 'ignore'],
      env: { ...process.env, LC_ALL: 'C' },
    });
    const milliseconds = Date.parse(text.trim());
    return Number.isNaN(milliseconds) ? undefined : Math.round(milliseconds / 1000);
  } catch {
    return undefined;
  }
}
