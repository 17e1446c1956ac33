import { randomBytes } from 'node:crypto';
import process from 'node:process';
import { readProc } from '../regular-file';
import { execFileSync } from 'node:child_process';
import { win32 } from 'node:path';

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

/** Runs a program and returns its output. Throws if it is missing, fails or times out. */
export type RunProgram = (program: string, args: readonly string[]) => string;

const maxMilliseconds = 5000;

const runProgram: RunProgram = (program, args) =>
  execFileSync(program, args, {
    ...{ encoding: 'utf8', timeout: maxMilliseconds, windowsHide: true },
    stdio: ['ignore', 'pipe', 'ignore'],
    // English month names, and no repeated hour from daylight saving time.
    env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' },
  });

/** Command that prints the start time of a process on this platform. */
function startProgram(pid: number, platform: NodeJS.Platform): [string, ...string[]] {
  if (platform !== 'win32') {
    return ['ps', '-o', 'lstart=', '-p', String(pid)];
  }
  // Windows searches the current folder first for a bare program name, which could be an untrusted repository.
  const system = win32.join(process.env['SystemRoot'] ?? 'C:\\Windows', 'System32');
  return [
    win32.join(system, 'WindowsPowerShell', 'v1.0', 'powershell.exe'),
    ...['-NoProfile', '-NonInteractive', '-Command'],
    `(Get-Process -Id ${pid}).StartTime.ToUniversalTime().ToString('o')`,
  ];
}

const months = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');

/**
 * Seconds since 1970 of a UTC time as `ps` prints it in the C locale (`Wed Dec  2 01:53:49 2026`) or .NET in its format
 * `o` (`2026-12-02T01:53:49.1234567Z`). Undefined for anything else: a guess could release the lock of a running process.
 */
export function parseStart(text: string): number | undefined {
  const line = text.trim();
  if (/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$/.test(line)) {
    return Math.round(Date.parse(line) / 1000);
  }
  const [, name = '', day, clock, year] =
    /^[A-Z][a-z]{2} ([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d:\d\d:\d\d) (\d{4})$/.exec(line) ?? [];
  return months.includes(name)
    ? Date.parse(`${day} ${name} ${year} ${clock} GMT`) / 1000
    : undefined;
}

/** Start time of a process in seconds since 1970, from the system's own program; undefined if unknown. */
export function startSeconds(
  pid: number,
  platform: NodeJS.Platform = process.platform,
  run: RunProgram = runProgram,
): number | undefined {
  const [program, ...args] = startProgram(pid, platform);
  try {
    return parseStart(run(program, args));
  } catch {
    return undefined;
  }
}

/** Fields of proc_pid_stat(5) after the process name: state, …, start time. Empty if there is no /proc. */
function processStatus(pid: number): readonly string[] {
  const text = readProc(`${pid}/stat`) ?? '';
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}

/** Start time of a process in clock ticks since boot; undefined if there is no /proc. */
function startTicks(pid: number): number | undefined {
  const ticks = processStatus(pid)[19];
  return ticks === undefined ? undefined : Number(ticks);
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
