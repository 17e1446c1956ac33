import { join } from 'node:path';
import { expect, it } from 'vitest';
import { scratchFolder } from '../../../extension/core/export/compression/compress-model';
import { healingFolder } from '../../../extension/core/export/compression/heal-model';
import { workFolder } from '../../../extension/core/jobs/work-folder';

it('is hidden beside the result, and the one that the job makes', () => {
  const out = join(__dirname, 'models', 'small');
  expect(workFolder(out, 'patch')).toBe(join(__dirname, 'models', '.small.espalier-patch'));
  expect(workFolder(out, 'compress')).toBe(scratchFolder(out));
  expect(workFolder(out, 'heal')).toBe(healingFolder(out));
});
