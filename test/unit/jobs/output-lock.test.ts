import { spawnSync } from 'node:child_process';
import { readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { expect, it } from 'vitest';
import { lockOutput } from '../../../extension/core/jobs/output-lock';
import { temporaryFolder } from '../temporary-folder';

const folder = join(temporaryFolder(), 'locks');
const out = '/some/result';

/** Gives the lock of this process to another one. */
function giveTo(pid: number | undefined): void {
  const [own = ''] = readdirSync(folder);
  renameSync(join(folder, own), join(folder, own.replace(/\d+$/, String(pid))));
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

it('takes over from a process that has ended', async () => {
  const [left = ''] = readdirSync(folder);
  renameSync(join(folder, left), join(folder, left.replace(/\d+$/, String(process.pid))));
  giveTo(spawnSync(process.execPath, ['-e', '']).pid);
  const release = await lockOutput(out, folder);
  expect(readdirSync(folder)).toHaveLength(1);
  await release();
  expect(readdirSync(folder)).toEqual([]);
});

it('keeps nobody from work where it cannot be written', async () => {
  const release = await lockOutput(out, join(process.execPath, 'locks'));
  await release();
});
