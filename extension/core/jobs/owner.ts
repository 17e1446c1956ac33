import { randomBytes } from 'node:crypto';
import process from 'node:process';
import { readProc } from '../proc-file';
import { startSeconds, startTicks, processStatus } from './process-start';

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

/** Start times of processes; replaced by tests. */
export interface StartTimes {
  /** Clock ticks since the system's start; undefined if there is no /proc. */
  readonly ticks: (pid: number) => number | undefined;
  /** Seconds since 1970; undefined if unknown. */
  readonly seconds: (pid: number) => number | undefined;
}

const systemTimes: StartTimes = { ticks: startTicks, seconds: startSeconds };

/**
 * True if nobody works under this name any more: its process has ended, or it is this one and has released it. A running
 * process whose start time is unknown counts as the owner, so that two runs never work on one result.
 */
export function isAbandoned(owner: string, times = systemTimes): boolean {
  const pid = processOf(owner);
  if (pid === process.pid) {
    return !own.has(owner);
  }
  return !isRunning(pid) || !startedAt(pid, Number(owner.split('-')[1]), times);
}

/** Whether a process of this machine is there and has not ended. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
  // One that has ended keeps its number until its parent has asked for its end.
  return !/^[ZX]$/.test(processStatus(pid)[0] ?? '') && !isThread(pid);
}

/** Whether the number has become that of a thread of another process, which Linux takes for a process's. */
function isThread(pid: number): boolean {
  const [, leader] = /^Tgid:\s*(\d+)$/m.exec(readProc(`${pid}/status`) ?? '') ?? [];
  return leader !== undefined && Number(leader) !== pid;
}

/** Start times that two programs name may differ by rounding, in seconds. */
const roundingSeconds = 2;
/** On a busy machine it takes a while from the start of a process until Node reads the clock. */
const mostLoadingSeconds = 60;

/** Start time of this process: clock ticks since the system's start if there is a /proc, else seconds since 1970. */
const ownStart = (): number => startTicks(process.pid) ?? Math.round(performance.timeOrigin / 1000);

/** False if the process with this number started at another time. */
function startedAt(pid: number, start: number, { ticks, seconds }: StartTimes): boolean {
  if (ticks(process.pid) !== undefined) {
    return ticks(pid) === start;
  }
  const found = seconds(pid);
  return (
    found === undefined ||
    (start - found >= -roundingSeconds && start - found <= mostLoadingSeconds)
  );
}
