import { join } from 'node:path';
import { expect, it } from 'vitest';
import { workFolder } from '../../../extension/core/jobs/work-folder';

it('is hidden beside the result, another one for each kind of job', () => {
  const out = join(__dirname, 'models', 'small');
  const beside = (name: string): string => join(__dirname, 'models', name);
  expect(workFolder(out, 'compress')).toBe(beside('.small.espalier-forms'));
  expect(workFolder(out, 'repair')).toBe(beside('.small.espalier-repair'));
  expect(workFolder(out, 'patch')).toBe(beside('.small.espalier-patch'));
});
