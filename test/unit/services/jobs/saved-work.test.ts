import { appendFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { partialPath } from '../../../../extension/core/jobs/partial';
import { hasWork } from '../../../../extension/services/jobs/saved-work';
import type { JobRecord } from '../../../../extension/services/jobs/job-record';
import { workFolder } from '../../../../extension/core/jobs/work-folder';
import { temporaryFolder } from '../../temporary-folder';

it('finished work is a journal entry or a complete file, not a partial one', () => {
  const out = join(temporaryFolder(), 'repaired');
  const request = { model: '/m', teacher: '/t', out } as JobRecord['request'];
  const job = { operation: 'repair', request } as const;
  const folder = workFolder(out, 'repair');
  mkdirSync(folder, { recursive: true });
  const journal = join(folder, 'journal.jsonl');
  const partial = partialPath(journal);
  writeFileSync(partial, '{"format":"journal"}\n');
  expect(hasWork(job)).toBe(false);
  rmSync(partial);
  writeFileSync(journal, '{"format":"journal"}\n');
  expect(hasWork(job)).toBe(false);
  appendFileSync(journal, '{"sublayer":"block.0.attention"}\n');
  expect(hasWork(job)).toBe(true);
  rmSync(journal);
  expect(hasWork(job)).toBe(false);
  writeFileSync(join(folder, 'block.0.attention.safetensors'), '');
  expect(hasWork(job)).toBe(true);
});
