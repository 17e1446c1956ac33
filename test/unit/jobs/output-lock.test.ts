import { spawnSync } from 'node:child_process';
import {
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { expect, it } from 'vitest';
import { lockOutput } from '../../../extension/core/jobs/output-lock';
import { birthOf } from '../../../extension/core/jobs/partial';
import { temporaryFolder } from '../temporary-folder';

const folder = join(temporaryFolder(), 'locks');
const out = '/some/result';

/** Gives the lock that is there to another process. @returns its file */
function giveTo(pid = 0, birth = birthOf(pid)): string {
  const [left = ''] = readdirSync(folder);
  const lock = join(folder, left.replace(/-\d+/, `-${pid}`));
  renameSync(join(folder, left), lock);
  writeFileSync(lock, birth);
  return lock;
}

it('lets one process at a time work on a result', async () => {
  await lockOutput(out, folder);
  giveTo(process.ppid);
  await expect(lockOutput(out, folder)).rejects.toThrow(
    `${out}: Another run is working on this result (process ${process.ppid}). Wait until`,
  );
  const release = await lockOutput('/some/other', folder);
  await release();
  // Its parent's lock alone is left.
  expect(readdirSync(folder)).toHaveLength(1);
});

it('comes back where another that began at once has given way', async () => {
  const own = join(temporaryFolder(), 'locks');
  const release = await lockOutput(out, own);
  const [lock = ''] = readdirSync(own);
  const other = join(own, lock.replace(/-\d+/, `-${process.ppid}`));
  writeFileSync(other, birthOf(process.ppid));
  await release();
  const asked = lockOutput(out, own);
  setTimeout(() => {
    rmSync(other);
  }, 30);
  await (
    await asked
  )();
  expect(readdirSync(own)).toEqual([]);
});

it('takes over from a process that has ended', async () => {
  giveTo(spawnSync(process.execPath, ['-e', '']).pid);
  const release = await lockOutput(out, folder);
  expect(readdirSync(folder)).toHaveLength(1);
  await release();
  expect(readdirSync(folder)).toEqual([]);
});

it('takes over where a number has become that of another process, or the system has started anew', async () => {
  const { ppid } = process;
  for (const [birth, written] of [
    ['1', new Date()],
    ['', new Date(0)],
  ] as const) {
    await lockOutput(out, folder);
    utimesSync(giveTo(ppid, birth), written, written);
    const release = await lockOutput(out, folder);
    expect(readdirSync(folder)).toHaveLength(1);
    await release();
  }
});

it('is held until the last of several runs of one process is over', async () => {
  const first = await lockOutput(out, folder);
  const second = await lockOutput(out, folder);
  await first();
  expect(readdirSync(folder)).toHaveLength(1);
  await second();
  expect(readdirSync(folder)).toEqual([]);
});

it('keeps nobody from work where it cannot be written', async () => {
  const release = await lockOutput(out, join(process.execPath, 'locks'));
  await release();
});

it('knows a result by another path, through a link', async () => {
  const own = temporaryFolder();
  const [real, link, locks] = [join(own, 'real'), join(own, 'link'), join(own, 'locks')];
  mkdirSync(real);
  symlinkSync(real, link, 'junction');
  await lockOutput(join(real, 'new', 'model'), locks);
  await lockOutput(join(link, 'new', 'model'), locks);
  const names = readdirSync(locks).map((name) => name.replace(/\d+$/, ''));
  expect(names).toHaveLength(2);
  expect(new Set(names).size).toBe(1);
});
