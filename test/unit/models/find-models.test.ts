import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { findModels } from '../../../extension/core/models/find-models';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const samples = join(import.meta.dirname, '../../../samples');

it('models are found by fingerprint, and invalid ones are reported with their error', async () => {
  await mkdir(join(folder, 'broken'));
  await writeFile(join(folder, 'broken', 'config.json'), '{}');
  await writeFile(join(folder, 'readme.md'), '');
  const { paths, unread } = await findModels([samples, folder]);
  expect([...paths.values()]).toContain(join(samples, 'espalier-sample'));
  expect(unread).toEqual([expect.stringContaining(join(folder, 'broken'))]);
  await expect(findModels([join(folder, 'none')])).rejects.toFailWith({
    code: 'folder-unreadable',
    file: 'none',
  });
});
