import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { Journal } from '../../../extension/core/jobs/journal';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const path = join(folder, 'job.journal.jsonl');
const open = async (identity: string, file = path): Promise<Journal<number>> =>
  Journal.open(file, identity, (value) => (typeof value === 'number' ? value : undefined));

it('of two runs belongs to the later one', async () => {
  const first = await open('one job');
  await first.append([1]);
  const second = await open('one job');
  expect(second.replayed).toEqual([1]);
  await first.append([2]);
  await second.append([3]);
  await first.remove();
  expect((await open('one job')).replayed).toEqual([1, 3]);

  const third = await open('another job');
  expect(third.replayed).toEqual([]);
  await second.append([4]);
  expect(readFileSync(path, 'utf8')).toMatch(/^\{"journal":"another job",.*\}\n$/);
});

it('is kept if it cannot be read, or if its name belongs to something else', async () => {
  const own = (name: string): string => join(folder, name);
  mkdirSync(own('folder.jsonl'));
  await expect(open('a job', own('folder.jsonl'))).rejects.toThrow(
    `${own('folder.jsonl')}: This is not a regular file. Check its permissions, or delete it`,
  );
  const notes = own('notes.jsonl');
  for (const text of ['dear diary\n', '{"a":1}\n', '5\n']) {
    writeFileSync(notes, text);
    await expect(open('a job', notes)).rejects.toThrow('not a journal of Espalier. Move it');
    expect(readFileSync(notes, 'utf8')).toBe(text);
  }
  symlinkSync('notes.jsonl', own('link.jsonl'));
  await expect(open('a job', own('link.jsonl'))).rejects.toFailWith({
    code: 'file-not-regular',
    file: 'link.jsonl',
  });
  symlinkSync('loop.jsonl', own('loop.jsonl'));
  await expect(open('a job', join(own('loop.jsonl'), 'in.jsonl'))).rejects.toFailWith({
    code: 'journal-unreadable',
    file: 'in.jsonl',
  });
});

it.skipIf(process.platform === 'win32')('does not wait for a pipe', async () => {
  const pipe = join(folder, 'pipe.jsonl');
  execFileSync('mkfifo', [pipe]);
  await expect(open('a job', pipe)).rejects.toFailWith({
    code: 'file-not-regular',
    file: 'pipe.jsonl',
  });
});

it('writes all lines of an append or none, so that later ones are kept', async ({ skip }) => {
  const disk = join(folder, 'disk');
  mkdirSync(disk);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk], { stdio: 'pipe' });
  } catch (error) {
    skip(`a tmpfs cannot be mounted here: ${(error as Error).message}`);
  }
  onTestFinished(() => {
    execFileSync('umount', [disk]);
  });
  const file = join(disk, 'job.journal.jsonl');
  const journal = await open('a job', file);
  await journal.append([1]);
  writeFileSync(join(disk, 'filler'), Buffer.alloc(40 << 10));
  const many = Array.from({ length: 10_000 }, () => 12_345);
  await expect(journal.append(many)).rejects.toFailWith({
    code: 'journal-not-writable',
    file: 'job.journal.jsonl',
  });
  rmSync(join(disk, 'filler'));
  await journal.append([2]);
  expect((await open('a job', file)).replayed).toEqual([1, 2]);
});
