import { execFile } from 'node:child_process';
import process from 'node:process';
import { promisify } from 'node:util';

/**
 * Runs a program that prints JSON; the processor time of all its threads comes from the shell.
 * @param {string} file
 * @param {readonly (string | number)[]} args
 * @returns {Promise<{value: any, cpuSeconds: number | undefined}>}
 */
export async function json(file, args) {
  const posix = process.platform !== 'win32';
  const timed = '"$@"; code=$?; times >&2; exit $code';
  const command = posix ? ['sh', '-c', timed, 'sh', file] : [file];
  const [program = file, ...rest] = [...command, ...args.map(String)];
  const { stdout, stderr } = await promisify(execFile)(program, rest, { maxBuffer: 1 << 28 });
  return { value: JSON.parse(stdout), cpuSeconds: posix ? childSeconds(stderr) : undefined };
}

/**
 * Reads the last line that `times` prints: the children's time in user and system mode, `0m1.5s 0m0.2s`.
 * @param {string} output
 */
function childSeconds(output) {
  const line = output.trimEnd().split('\n').at(-1) ?? '';
  const times = [...line.matchAll(/(\d+)m([\d.]+)s/g)];
  return times.reduce(
    (sum, [, minutes, seconds]) => sum + 60 * Number(minutes) + Number(seconds),
    0,
  );
}
