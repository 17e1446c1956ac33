import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Journal } from '../../../extension/core/jobs/journal';
import { temporaryFolder } from '../temporary-folder';

const path = join(temporaryFolder(), 'job.journal.jsonl');
const open = async (identity: string): Promise<Journal<number>> =>
  Journal.open(path, identity, (value) => (typeof value === 'number' ? value : undefined));

it('of two runs at once the later one has the journal for itself', async () => {
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
