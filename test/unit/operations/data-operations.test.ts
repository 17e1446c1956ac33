import { cpSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { openDataset } from '../../../extension/core/data/datasets/open-dataset';
import {
  bareScores,
  writeScoreDocument,
} from '../../../extension/core/datadiet/scores/score-document';
import { readSelection } from '../../../extension/core/datadiet/subsets/selection-document';
import { unattended } from '../../../extension/core/jobs/job';
import { buildRequest } from '../../../extension/core/operations/build-request';
import { convertScores } from '../../../extension/core/operations/convert-scores';
import { exportData } from '../../../extension/core/operations/export-data';
import type { ExportedData } from '../../../extension/core/operations/export-data';
import type { GivenOf } from '../../../extension/core/operations/fields';
import type { OperationContext } from '../../../extension/core/operations/operation';
import { selectData } from '../../../extension/core/operations/select-data';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const strokes = join(import.meta.dirname, '../../fixtures/datasets/strokes');
const [data, scores] = [at('strokes'), at('strokes.scores.json')];

// None of these operations looks at its environment.
const context = unattended as unknown as OperationContext;

const write = async (given: GivenOf<typeof exportData.fields>): Promise<ExportedData> =>
  exportData.run(buildRequest(exportData, { data, ...given }), context);
const select = async (given: GivenOf<typeof selectData.fields>): Promise<number> =>
  (await selectData.run(buildRequest(selectData, { scores, ...given }), context)).kept;

describe('files written by a data map', () => {
  beforeAll(async () => {
    cpSync(strokes, data, { recursive: true });
    const { name, fingerprint, classNames, labels, size } = await openDataset(data);
    const all = Array.from({ length: size }, (_, i) => i / size);
    await writeScoreDocument(scores, {
      ...bareScores('el2n', all),
      dataset: { path: data, name, fingerprint },
      classNames: [...classNames],
      labels: [...labels],
    });
  });

  it('is the kept part without the marked examples, in the format of the dataset', async () => {
    const out = at('subset');
    const given = { scores, keep: 0.1, leaveOut: [39, 19], out };
    expect(await write(given)).toMatchObject({ examples: 4, of: 40 });
    expect(readdirSync(join(out, 'horizontal')).sort()).toEqual(['17.png', '18.png']);
    expect(readdirSync(join(out, 'vertical')).sort()).toEqual(['17.png', '18.png']);
    const { indices } = await readSelection(`${out}.selection.json`, 40);
    expect([...indices]).toEqual([17, 18, 37, 38]);
    await expect(write(given)).rejects.toFailWith({ code: 'folder-not-empty', file: 'subset' });
  });

  it('is the marked ones, as files and as indices', async () => {
    const marked = { keep: 1, unbalanced: true, only: [9, 3] };
    const [out, file] = [at('marked'), at('marked.npy')];
    expect((await write({ scores, ...marked, out })).files).toHaveLength(3);
    expect(readdirSync(join(out, 'horizontal')).sort()).toEqual(['03.png', '09.png']);
    expect(await select({ ...marked, out: file })).toBe(2);
    expect([...(await readSelection(file, 40)).indices]).toEqual([3, 9]);
  });

  it('uses labels of the dataset if the scores have none', async () => {
    const bare = at('bare.npy');
    await convertScores.run(buildRequest(convertScores, { scores, out: bare }), context);
    expect(await select({ scores: bare, data, keep: 0.5, out: at('half.json') })).toBe(20);
    expect((await write({ scores: bare, keep: 0.5, out: at('half') })).examples).toBe(20);
  });

  it('is a copy with new labels, which the selection lists', async () => {
    const out = at('relabeled');
    const given = { scores, keep: 1, unbalanced: true, relabel: ['0=vertical', '39=horizontal'] };
    expect(await write({ ...given, out })).toMatchObject({ examples: 40, relabeled: 2 });
    expect(readdirSync(join(out, 'horizontal'))).not.toContain('00.png');
    expect(readdirSync(join(out, 'horizontal'))).toContain('19-2.png');
    const selection = `${out}.selection.json`;
    const again = at('relabeled-again');
    expect(await write({ selection, out: again })).toMatchObject({ relabeled: 2 });
    expect(readdirSync(again, { recursive: true })).toEqual(readdirSync(out, { recursive: true }));
    expect(readdirSync(join(data, 'horizontal'))).toContain('00.png');
    const to = (name: string) => ({ keep: 1, relabel: ['0=vertical'], out: at(name) });
    await expect(select(to('none.npy'))).rejects.toFailWith({
      code: 'labels-not-in-npy',
      field: 'out',
    });
    await expect(select({ ...to('none.json'), relabel: ['0=oblique'] })).rejects.toFailWith({
      code: 'class-unknown',
      field: 'relabel',
    });
  });

  it('reports invalid combinations', async () => {
    const out = at('none.json');
    await expect(select({ keep: 1, unbalanced: true, only: [], out })).rejects.toFailWith({
      code: 'no-example-chosen',
    });
    await expect(select({ keep: 1, leaveOut: [40], out })).rejects.toFailWith({
      code: 'example-index-invalid',
      field: 'leaveOut',
    });
    await expect(write({ data: '/no/such', scores, keep: 1, out: at('no') })).rejects.toFailWith({
      code: 'path-missing',
      file: 'such',
    });
    expect(readdirSync(folder)).not.toContain('none.json');
    for (const [given, problem] of [
      [{}, { code: 'field-required' as const }],
      [{ scores }, { code: 'flag-needs-other' as const, field: 'scores' }],
      [
        { selection: out, keep: 0.5 },
        { code: 'flag-needs-other' as const, field: 'keep' },
      ],
      [
        { selection: out, scores, keep: 0.5 },
        { code: 'flags-conflict' as const, field: 'scores, selection' },
      ],
    ] as const) {
      await expect(write({ ...given, out })).rejects.toFailWith(problem);
    }
    expect(readFileSync(scores, 'utf8')).toContain('espalier.scores');
  });
});
