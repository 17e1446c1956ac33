import { randomBytes } from 'node:crypto';
import process from 'node:process';
import { readProc } from '../proc-file';
import { startSeconds, startTicks, processStatus } from './process-start';

/** Pattern of owners from {@link createOwner}: process ID, start time, random part. */
export const ownerPattern = /\d+-\d+-[0-9a-f]{8}/;

/** Owners that this process created and has not released. */
const own = new Set<string>();

/**
 * Returns a unique owner name for hidden files and locks. It contains the ID and start time of this process, since
 * process IDs repeat: in containers most processes have ID 1.
 */
export function createOwner(): string {
  const owner = `${process.pid}-${ownStart()}-${randomBytes(4).toString('hex')}`;
  own.add(owner);
  return owner;
}

/** Ends an owner: its remaining files count as abandoned. */
export function releaseOwner(owner: string): void {
  own.delete(owner);
}

/** ID of the process that created an owner. */
export const ownerProcess = (owner: string): number => Number.parseInt(owner, 10);

/** Functions that return process start times; replaced by tests. */
export interface StartTimes {
  /** Clock ticks since the system's start; undefined if there is no /proc. */
  readonly ticks: (pid: number) => number | undefined;
  /** Seconds since 1970; undefined if unknown. */
  readonly seconds: (pid: number) => number | undefined;
}

const systemTimes: StartTimes = { ticks: startTicks, seconds: startSeconds };

/**
 * True if the owner's process has ended, or is this process and has released the owner. A running process whose start
 * time is unknown counts as the owner, so that two runs never work on one result.
 */
export function isAbandoned(owner: string, times = systemTimes): boolean {
  const pid = ownerProcess(owner);
  if (pid === process.pid) {
    return !own.has(owner);
  }
  return !isRunning(pid) || !startedAt(pid, Number(owner.split('-')[1]), times);
}

/** True if a process of this machine exists and has not exited. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
  // A process that has exited keeps its ID until its parent has read its exit status.
  return !/^[ZX]$/.test(processStatus(pid)[0] ?? '') && !isThread(pid);
}

/** True if the ID now belongs to a thread of another process. Linux accepts it as a process ID. */
function isThread(pid: number): boolean {
  const [, leader] = /^Tgid:\s*(\d+)$/m.exec(readProc(`${pid}/status`) ?? '') ?? [];
  return leader !== undefined && Number(leader) !== pid;
}

/** Tolerance between start times from two programs, in seconds. */
const roundingSeconds = 2;
/** Maximum seconds between the start of a process and Node's first clock reading, on a busy machine. */
const maxLoadingSeconds = 60;

/** Start time of this process: clock ticks since the system's start if there is a /proc, else seconds since 1970. */
const ownStart = (): number => startTicks(process.pid) ?? Math.round(performance.timeOrigin / 1000);

/** False if the process with this ID started at another time. */
function startedAt(pid: number, start: number, { ticks, seconds }: StartTimes): boolean {
  if (ticks(process.pid) !== undefined) {
    return ticks(pid) === start;
  }
  const found = seconds(pid);
  return (
    found === undefined || (start - found >= -roundingSeconds && start - found <= maxLoadingSeconds)
  );
}
