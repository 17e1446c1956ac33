import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import process from 'node:process';
import { expect, it } from 'vitest';
import { isRunning, startSeconds } from '../../../extension/core/jobs/owner';
import {
  isPartial,
  moveAside,
  partialPath,
  releaseHidden,
  removeAside,
  removeStale,
} from '../../../extension/core/jobs/partial';
import { replaceFile } from '../../../extension/core/jobs/write-document';
import { replacedFolder } from '../../../extension/core/jobs/user-cache';
import { temporaryFolder } from '../temporary-folder';
import { endedOwner, readOwner } from './owners';

const threads =
  process.platform === 'linux'
    ? readdirSync('/proc/self/task')
        .map(Number)
        .filter((id) => id !== process.pid)
    : [];

const root = temporaryFolder();
let count = 0;

/** Path of a result in a folder of its own. */
function freshPath(): { readonly folder: string; readonly out: string } {
  const folder = join(root, String(count++));
  mkdirSync(folder);
  return { folder, out: join(folder, 'model') };
}

/** A folder that holds one file. */
function makeFolder(path: string, file = 'config.json'): void {
  mkdirSync(path);
  writeFileSync(join(path, file), '{}');
}

it('recognizes this process as running, but none of its threads', () => {
  expect(isRunning(process.pid)).toBe(true);
  expect(threads.filter((id) => isRunning(id))).toEqual([]);
});

it("reads the start time of a process from the system's program", () => {
  const before = Date.now();
  const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], {
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const after = Date.now();
  const started = startSeconds(child.pid ?? 0);
  child.kill();
  // The system's program rounds by up to 2 s.
  expect(started).toBeGreaterThanOrEqual(before / 1000 - 2);
  expect(started).toBeLessThanOrEqual(after / 1000 + 2);
  expect(startSeconds(Number(endedOwner().split('-')[0]))).toBeUndefined();
});

// Elsewhere than on Linux a thread's number is never taken for a process's.
it.skipIf(threads.length === 0)(
  'removes leftovers of a killed process, even if a thread has its id now, but not files being written',
  async () => {
    const { folder, out } = freshPath();
    const own = partialPath(out);
    mkdirSync(own);
    mkdirSync(own.replace(`-${process.pid}-`, `-${String(threads[0])}-`));
    await removeStale(out);
    expect(readdirSync(folder)).toEqual([basename(own)]);
    releaseHidden(own);
    await removeStale(out);
    expect(readdirSync(folder)).toEqual([]);
  },
);

it('removes leftovers of an earlier process whose id was reused, even by this one', async () => {
  const { folder, out } = freshPath();
  const running = `.model.espalier-partial-${readOwner(process.ppid)}`;
  const [pid, start] = readOwner(process.pid).split('-');
  for (const name of [
    running,
    `.model.espalier-partial-${process.ppid}-7-0a1b2c3d`,
    `.model.espalier-partial-${String(pid)}-7-0a1b2c3d`,
    `.model.espalier-partial-${String(pid)}-${String(start)}-ffffffff`,
    `.model.espalier-partial-${endedOwner()}`,
    '.model.espalier-partial-1',
    '.other.espalier-partial-1-7-0a1b2c3d',
  ]) {
    mkdirSync(join(folder, name));
  }
  expect(isPartial(running)).toBe(true);
  await removeStale(out);
  expect(readdirSync(folder).sort()).toEqual(
    [running, '.model.espalier-partial-1', '.other.espalier-partial-1-7-0a1b2c3d'].sort(),
  );
});

it('gives each work item its own name', async () => {
  const { folder, out } = freshPath();
  await Promise.all(
    ['a', 'b', 'c'].map(async (text) =>
      replaceFile(out, (partial) => {
        writeFileSync(partial, text);
        return Promise.resolve();
      }),
    ),
  );
  expect(readdirSync(folder)).toEqual(['model']);
});

it('puts a folder back that this user was replacing when the process was killed', async () => {
  const { folder, out } = freshPath();
  makeFolder(out, 'mine');
  releaseHidden(await moveAside(out));
  expect(existsSync(out)).toBe(false);
  await removeStale(out);
  expect(readdirSync(folder)).toEqual(['model']);
  expect(readdirSync(out)).toEqual(['mine']);

  releaseHidden(await moveAside(out));
  makeFolder(out, 'new');
  await removeStale(out);
  expect(readdirSync(folder)).toEqual(['model']);
  expect(readdirSync(out)).toEqual(['new']);

  await removeAside(await moveAside(out));
  expect(readdirSync(folder)).toEqual([]);
  expect(readdirSync(replacedFolder())).toEqual([]);
});

it('neither puts back nor removes a folder of that name that somebody else made', async () => {
  const { folder, out } = freshPath();
  const planted = [`.model.espalier-old-${endedOwner()}`, '.model.espalier-old-1-7-0a1b2c3d'];
  for (const name of planted) makeFolder(join(folder, name));
  await removeStale(out);
  expect(readdirSync(folder).sort()).toEqual([...planted].sort());
  makeFolder(out);
  await removeStale(out);
  expect(readdirSync(folder).sort()).toEqual([...planted, 'model'].sort());

  // A record is about one place.
  const other = join(folder, 'other');
  makeFolder(other);
  const aside = await moveAside(other);
  releaseHidden(aside);
  const copy = join(folder, basename(aside).replace('.other.', '.third.'));
  makeFolder(copy);
  await removeStale(join(folder, 'third'));
  expect(existsSync(join(folder, 'third'))).toBe(false);
});

it('does not follow a link that has the name of something half written', async () => {
  const { folder, out } = freshPath();
  makeFolder(join(folder, 'precious'));
  symlinkSync('precious', join(folder, `.model.espalier-partial-${endedOwner()}`));
  await removeStale(out);
  expect(readdirSync(folder)).toEqual(['precious']);
  expect(readdirSync(join(folder, 'precious'))).toEqual(['config.json']);
});
