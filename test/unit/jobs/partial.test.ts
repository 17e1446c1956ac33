import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { expect, it } from 'vitest';
import { isRunning, partialOf, removeStale } from '../../../extension/core/jobs/partial';
import { temporaryFolder } from '../temporary-folder';

const threads =
  process.platform === 'linux'
    ? readdirSync('/proc/self/task')
        .map(Number)
        .filter((id) => id !== process.pid)
    : [];

it('takes this process for running, and none of its threads', () => {
  expect(isRunning(process.pid)).toBe(true);
  expect(threads.filter((id) => isRunning(id))).toEqual([]);
});

// Elsewhere than on Linux a thread's number is never taken for a process's.
it.skipIf(threads.length === 0)(
  'removes what a killed process has left, also where a thread has its number now; not what is being written',
  async () => {
    const out = join(temporaryFolder(), 'model');
    const own = partialOf(out);
    const left = own.replace(/\d+$/, String(threads[0]));
    mkdirSync(own);
    mkdirSync(left);
    await removeStale(out);
    expect(readdirSync(join(out, '..')).map((name) => join(out, '..', name))).toEqual([own]);
  },
);
