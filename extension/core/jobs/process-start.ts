import { execFileSync } from 'node:child_process';
import { win32 } from 'node:path';
import process from 'node:process';
import { readProc } from '../proc-file';

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
export function processStatus(pid: number): readonly string[] {
  const text = readProc(`${pid}/stat`) ?? '';
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}

/** Start time of a process in clock ticks since boot; undefined if there is no /proc. */
export function startTicks(pid: number): number | undefined {
  const ticks = processStatus(pid)[19];
  return ticks === undefined ? undefined : Number(ticks);
}
