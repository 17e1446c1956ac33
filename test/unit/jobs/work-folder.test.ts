import { basename, dirname, join } from 'node:path';
import process from 'node:process';
import { expect, it } from 'vitest';
import {
  documentJournal,
  documentRunsFolder,
  workFolder,
  workRoot,
} from '../../../extension/core/jobs/work-folder';

it('is hidden next to the result, with a different name for each kind of job', () => {
  const out = join(__dirname, 'models', 'small');
  const beside = (name: string): string => join(__dirname, 'models', name);
  expect(workFolder(out, 'compress')).toBe(beside('.small.espalier-forms'));
  expect(workFolder(out, 'repair')).toBe(beside('.small.espalier-repair'));
  expect(workFolder(out, 'patch')).toBe(beside('.small.espalier-patch'));
});

it("is in the editor's storage if configured, with a subfolder per folder", () => {
  const before = process.env[workRoot];
  try {
    process.env[workRoot] = join(__dirname, 'storage');
    const [one, other] = ['a', 'b'].map((name) => join(__dirname, name, 'm.layerprofile.json'));
    const places = [one, other].flatMap((out = '') => [
      documentJournal(out),
      documentRunsFolder(out),
      workFolder(out, 'repair'),
    ]);
    expect(new Set(places).size).toBe(6);
    for (const place of places) {
      expect(dirname(dirname(place))).toBe(join(__dirname, 'storage'));
    }
    expect(basename(places[0] ?? '')).toBe('m.layerprofile.journal.jsonl');
  } finally {
    if (before === undefined) Reflect.deleteProperty(process.env, workRoot);
    else process.env[workRoot] = before;
  }
});
