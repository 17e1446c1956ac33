import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ReportStore } from '../../../extension/services/reports/report-store';
import { temporaryFolder } from '../temporary-folder';

describe('reports between windows', () => {
  const folder = join(temporaryFolder(), 'reports');

  it('are found again by their keys, in their last version', async () => {
    const store = new ReportStore(folder);
    expect(await store.load('espalier-report://text/a.md?1')).toBeUndefined();
    await store.save('espalier-report://text/a.md?1', 'first');
    await store.save('espalier-report://text/a.md?2', 'other');
    await store.save('espalier-report://text/a.md?1', 'second');
    const later = new ReportStore(folder);
    expect(await later.load('espalier-report://text/a.md?1')).toBe('second');
    expect(await later.load('espalier-report://text/a.md?2')).toBe('other');
  });

  it('are not kept without end', async () => {
    const store = new ReportStore(folder);
    for (let i = 0; i < 105; i++) await store.save(`key ${i}`, String(i));
    expect(readdirSync(folder)).toHaveLength(100);
    expect(await store.load('key 104')).toBe('104');
  });
});
