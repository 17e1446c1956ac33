import { spawn } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { afterAll, describe, expect, it } from 'vitest';
import { isAbandoned, parseStart, startSeconds } from '../../../extension/core/jobs/owner';
import type { RunProgram } from '../../../extension/core/jobs/owner';

const time = Date.UTC(2026, 11, 2, 1, 53, 49) / 1000;

describe('a start time', () => {
  it.each([
    ['macOS', 'Wed Dec  2 01:53:49 2026    \n'],
    ['procps', 'Wed Dec  2 01:53:49 2026\n'],
    ['PowerShell', '2026-12-02T01:53:49.1234567Z\r\n'],
    ['PowerShell 7', '2026-12-02T01:53:49.0000000Z\n'],
  ])('is read as %s prints it', (_, text) => {
    expect(parseStart(text)).toBe(time);
  });

  it.each([
    ['nothing, for a process that has ended', ''],
    ['German', 'Mi  2 Dez 01:53:49 2026\n'],
    ['French', 'mer.  2 déc. 01:53:49 2026\n'],
    ['Chinese', '三 12月  2 01:53:49 2026\n'],
    ['American', '12/2/2026 1:53:49 AM\n'],
    ['a day of two calendars', '2569-12-02 01:53:49\n'],
    ['local time', '2026-12-02T01:53:49.1234567+01:00\n'],
    ['no month', 'Wed Foo  2 01:53:49 2026\n'],
    ['a message', "ps: unrecognized option '-p'\nUsage: ps [-o COL1,COL2=HEADER] [-T]\n"],
    ['an error', 'You cannot call a method on a null-valued expression.\r\n'],
  ])('is unknown for %s', (_, text) => {
    expect(parseStart(text)).toBeUndefined();
  });

  it.each([
    ['darwin', /^ps$/, ['-o', 'lstart=', '-p', '7'], 'Wed Dec  2 01:53:49 2026\n'],
    ['win32', /^\w:\\.*\\powershell\.exe$/, ['-NoProfile'], '2026-12-02T01:53:49.1234567Z\r\n'],
  ] as const)('is asked for on %s', (platform, program, args, text) => {
    const asked: { program: string; args: readonly string[] }[] = [];
    const run: RunProgram = (name, given) => {
      asked.push({ program: name, args: given });
      return text;
    };
    expect(startSeconds(7, platform, run)).toBe(time);
    expect(asked).toHaveLength(1);
    expect(asked[0]?.program).toMatch(program);
    expect(asked[0]?.args).toEqual(expect.arrayContaining([...args]));
    expect(asked[0]?.args.join(' ')).toContain('7');
  });

  it.each(['spawnSync ps ENOENT', 'spawnSync ps ETIMEDOUT', 'Command failed: ps'])(
    'is unknown after %s',
    (message) => {
      const run: RunProgram = () => {
        throw new Error(message);
      };
      expect(startSeconds(7, 'darwin', run)).toBeUndefined();
      expect(startSeconds(7, 'win32', run)).toBeUndefined();
    },
  );
});

describe('a name of a process without /proc', () => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  const owner = (): string => `${child.pid}-${time}-01234567`;
  const isLeft = (started: number | undefined): boolean =>
    isAbandoned(owner(), { ticks: () => undefined, seconds: () => started });

  afterAll(async () => {
    const ended = once(child, 'exit');
    child.kill();
    await ended;
  });

  it.each([0, 2, -2, -30])('is in use by a process that started %d s after it', (later) => {
    expect(isLeft(time + later)).toBe(false);
  });

  it.each([3, 3600, -61])(
    'is abandoned if its id belongs to a process that started %d s later',
    (later) => {
      expect(isLeft(time + later)).toBe(true);
    },
  );

  it('counts as in use if the start is unknown', () => {
    expect(isLeft(undefined)).toBe(false);
  });
});
