import { mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { expect, it, vi } from 'vitest';
import { lockOutput, resultName } from '../../../extension/core/jobs/output-lock';
import { resolveLinks } from '../../../extension/core/jobs/partial';
import { temporaryFolder } from '../temporary-folder';
import { endedOwner, readOwner } from './owners';

const root = temporaryFolder();
let count = 0;
const freshFolder = (): string => join(root, String(count++));
const out = '/some/result';

/** Writes the lock of another process. @returns its file */
async function lockBy(owner: string, folder: string): Promise<string> {
  mkdirSync(folder, { recursive: true });
  const lock = join(folder, `${resultName(await resolveLinks(out))}-${owner}`);
  writeFileSync(lock, '');
  return lock;
}

it('allows one process at a time to work on a result', async () => {
  const folder = freshFolder();
  await lockBy(readOwner(process.ppid), folder);
  await expect(lockOutput(out, folder)).rejects.toThrow(
    `${out}: Another run is working on this result (process ${process.ppid}). Wait until`,
  );
  const release = await lockOutput('/some/other', folder);
  await release();
  // Its parent's lock alone is left.
  expect(readdirSync(folder)).toHaveLength(1);
});

it('is acquired again after a competing process has given way', async () => {
  const folder = freshFolder();
  const other = await lockBy(readOwner(process.ppid), folder);
  // The other removes its lock when this process has read the folder and checks that the other is running.
  const kill = vi.spyOn(process, 'kill').mockImplementationOnce(() => {
    rmSync(other);
    return true;
  });
  try {
    const release = await lockOutput(out, folder);
    expect(kill.mock.calls).toEqual([[process.ppid, 0]]);
    await release();
  } finally {
    kill.mockRestore();
  }
  expect(readdirSync(folder)).toEqual([]);
});

it.each([
  ['has ended', endedOwner],
  ['has a number that is of another process now', () => `${process.ppid}-7-0a1b2c3d`],
  ['had the number of this one, as in containers', () => `${process.pid}-7-0a1b2c3d`],
])('replaces the lock of a process that %s', async (_, owner) => {
  const folder = freshFolder();
  await lockBy(owner(), folder);
  const release = await lockOutput(out, folder);
  expect(readdirSync(folder)).toHaveLength(1);
  await release();
  expect(readdirSync(folder)).toEqual([]);
});

it.each([
  ['with a folder for locks', freshFolder],
  ['without one', () => join(process.execPath, 'locks')],
])('allows one run of a process at a time to work on a result, %s', async (_, place) => {
  const folder = place();
  const first = await lockOutput(out, folder);
  await expect(lockOutput(out, folder)).rejects.toThrow(`(process ${process.pid})`);
  await first();
  const second = await lockOutput(out, folder);
  await second();
});

it('recognizes a result by another path, through a link to a folder, or before it exists', async () => {
  const own = freshFolder();
  const [real, locks] = [join(own, 'real'), join(own, 'locks')];
  mkdirSync(real, { recursive: true });
  symlinkSync(real, join(own, 'link'), 'junction');
  symlinkSync('real/new', join(own, 'dangling'));
  symlinkSync('loop', join(own, 'loop'));
  const release = await lockOutput(join(real, 'new', 'model'), locks);
  for (const path of [join(own, 'link', 'new', 'model'), join(own, 'dangling', 'model')]) {
    await expect(lockOutput(path, locks)).rejects.toFailWith({
      code: 'output-locked',
      file: 'model',
    });
  }
  await (
    await lockOutput(join(own, 'loop'), locks)
  )();
  await release();
});

it('ignores letter case on case-insensitive file systems', () => {
  for (const platform of ['darwin', 'win32'] as const) {
    expect(resultName('/Some/R\u00e9sult', platform)).toBe(
      resultName('/some/re\u0301sult', platform),
    );
  }
  expect(resultName('/Some/Result', 'linux')).not.toBe(resultName('/some/result', 'linux'));
});
