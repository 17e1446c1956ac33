import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { unattended } from '../../../extension/core/jobs/job';
import { makeWorkFolder, workFolder } from '../../../extension/core/jobs/work-folder';
import { ModelCache } from '../../../extension/core/models/model-cache';
import { asSetting, buildRequest } from '../../../extension/core/operations/build-request';
import { compress } from '../../../extension/core/operations/compress';
import { patch } from '../../../extension/core/operations/patch';
import { RepairStore } from '../../../extension/core/tensornet/repair/repair-store';
import { fixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const problem = 'The folder for unfinished work is a link or a file. Remove it';

it('makes a folder, or keeps the one that is there', async () => {
  const path = join(folder, 'new', '.model.espalier-forms');
  await makeWorkFolder(path);
  writeFileSync(join(path, 'journal.jsonl'), 'kept');
  await makeWorkFolder(path);
  expect(readFileSync(join(path, 'journal.jsonl'), 'utf8')).toBe('kept');
});

it('refuses a file and a link, also one that leads nowhere', async () => {
  writeFileSync(join(folder, 'file'), 'mine');
  symlinkSync(join(folder, 'nowhere'), join(folder, 'broken'));
  symlinkSync(folder, join(folder, 'link'));
  for (const name of ['file', 'broken', 'link']) {
    await expect(makeWorkFolder(join(folder, name))).rejects.toThrow(
      `${join(folder, name)}: ${problem}`,
    );
  }
});

it('no job writes into the target of a planted link', async () => {
  const models = new ModelCache({ capacity: 1 });
  const context = {
    ...unattended,
    environment: {
      ...{ samples: '', version: '0', costsFolder: join(folder, 'costs'), bundles: '' },
      open: async (path: string) => models.open(path),
    },
  };
  const [target, out] = [join(folder, 'target'), join(folder, 'model')];
  mkdirSync(target);
  for (const kind of ['compress', 'repair', 'patch'] as const) {
    symlinkSync(target, workFolder(out, kind));
  }
  const text = join(folder, 'text.txt');
  writeFileSync(text, 'the quick brown fox jumps over the lazy dog. '.repeat(40));
  const model = fixture('llama-gqa-untied');
  const calibrated = { calibration: text, sequences: 4, length: 8, device: 'cpu' as const };
  const name = { name: asSetting(compress.fields) };
  const given = { model, out, ...calibrated };
  const jobs = [
    async () =>
      compress.run(
        buildRequest(compress, { ...given, method: 'int8', quality: false }, name),
        context,
      ),
    async () => RepairStore.open(workFolder(out, 'repair'), 'a job'),
    async () =>
      patch.run(
        buildRequest(patch, { ...given, sublayer: 'block.0.feedforward', programs: 200 }),
        context,
      ),
  ];
  for (const job of jobs) {
    await expect(job()).rejects.toThrow(problem);
  }
  expect(readdirSync(target)).toEqual([]);
});
