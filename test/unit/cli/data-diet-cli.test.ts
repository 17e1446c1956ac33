import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openDataset } from '../../../extension/core/data/datasets/open-dataset';
import type { DietResult } from '../../../extension/core/datadiet/subsets/diet-experiment';
import type { GroupStudy } from '../../../extension/core/datadiet/subsets/group-study';
import type { ScoreDocument } from '../../../extension/core/datadiet/scores/score-document';
import type { SelectionDocument } from '../../../extension/core/datadiet/subsets/selection-document';
import { cloudsTable, toyPath } from '../datadiet/toy-data';
import { temporaryFolder } from '../temporary-folder';
import { interruptCli, runCli } from './run-cli';

const folder = temporaryFolder();
const data = cloudsTable(toyPath(folder, 'clouds.csv'), 120);
const at = (name: string): string => join(folder, name);
const json = <T>(text: string): T => JSON.parse(text) as T;

describe('espalier, data sets', () => {
  it('trains, scores, selects and exports', async () => {
    const model = ['--data', data, '--model', 'mlp', '--batch', '16'];
    const trained = await runCli([
      'train',
      ...model,
      '--epochs',
      '2',
      '--seeds',
      '2',
      '--out',
      at('train'),
      '--json',
    ]);
    expect(trained.stderr).toMatch(/held out/);
    const { runs, secondsPerStep } = json<{ runs: object[]; secondsPerStep: number }>(
      trained.stdout,
    );
    expect(runs).toHaveLength(2);
    expect(Object.keys(runs[0] ?? {})).toEqual(['seed', 'steps', 'trainAccuracy', 'testAccuracy']);
    expect(secondsPerStep).toBeGreaterThan(0);

    const scores = at('all.scores.json');
    const score = ['score-data', ...model, '--runs', '2', '--epoch', '1'];
    const scored = await runCli([
      ...score,
      '--score',
      'el2n',
      '--out',
      scores,
      '--json',
      '--dynamics',
      at('dynamics'),
    ]);
    expect(Object.keys(json(scored.stdout))).toEqual([
      'examples',
      'runs',
      'interRunSpearman',
      'seconds',
      'suspected',
      'duplicates',
      'outliers',
      'labelIssues',
      'notes',
    ]);
    const document = json<ScoreDocument>(readFileSync(scores, 'utf8'));
    expect(document.scores).toHaveLength(120);
    expect(existsSync(at('dynamics/dynamics_epoch_0.jsonl'))).toBe(true);

    const selection = at('all.selection.json');
    const select = ['select-data', '--scores', scores, '--keep', '0.5', '--policy', 'max'];
    expect((await runCli([...select, '--out', selection])).stdout).toMatch(/ant +40 +20/);
    const { indices } = json<SelectionDocument>(readFileSync(selection, 'utf8'));
    const exported = at('half');
    await runCli(['export-data', '--data', data, '--selection', selection, '--out', exported]);
    const [whole, half] = [
      await openDataset(data),
      await openDataset(join(exported, 'clouds.csv')),
    ];
    expect([...half.features([0, 59])]).toEqual([
      ...whole.features([indices[0] ?? 0, indices[59] ?? 0]),
    ]);

    // Scores alone have no classes: the dataset does.
    await runCli(['convert-scores', '--scores', scores, '--out', at('scores.npy')]);
    const bare = [
      'select-data',
      '--scores',
      at('scores.npy'),
      '--keep',
      '0.5',
      '--out',
      at('kept.selection.json'),
    ];
    expect((await runCli(bare)).stderr).toMatch(/examples have no known classes/);
    expect((await runCli([...bare, '--data', data])).code).toBe(0);
    expect(
      json<SelectionDocument>(readFileSync(at('kept.selection.json'), 'utf8')).indices,
    ).toEqual(indices);

    const other = cloudsTable(toyPath(folder, 'other.csv'), 120, 9);
    const wrong = await runCli([
      'export-data',
      '--data',
      other,
      '--selection',
      selection,
      '--out',
      at('wrong'),
    ]);
    expect(wrong.stderr).toMatch(/fingerprint: .*another dataset/);
    expect(existsSync(at('wrong'))).toBe(false);
  });

  it('selects and exports with the settings of the scores', async () => {
    const rows = Array.from({ length: 24 }, (_, i) => `${i % 2},${i},${(7 * i) % 5}`);
    const path = at('plain.csv');
    writeFileSync(path, `kind,a,b\n${rows.join('\n')}\n`);
    const [scores, selection] = [at('plain.scores.json'), at('plain.selection.json')];
    const score = ['score-data', '--data', path, '--runs', '1', '--epoch', '0', '--out', scores];
    expect((await runCli(score)).stderr).toMatch(/--label|label/);
    expect((await runCli([...score, '--label', 'kind'])).code).toBe(0);
    const select = ['select-data', '--scores', scores, '--keep', '0.5', '--data', path];
    const selected = await runCli([...select, '--out', selection]);
    expect(selected.stdout).toMatch(/^0 +12 +6$/m);
    const args = ['export-data', '--data', path, '--selection', selection, '--out', at('plain')];
    expect((await runCli(args)).stdout).toMatch(/12 of 24 examples/);
    expect(existsSync(at('plain/plain.csv'))).toBe(true);

    // Scores of another tool don't name their dataset; the selection stores how it was opened.
    const [bare, chosen] = [at('plain.npy'), at('bare.selection.json')];
    expect((await runCli(['convert-scores', '--scores', scores, '--out', bare])).stdout).toMatch(
      /^24 scores as npy/,
    );
    const from = ['select-data', '--scores', bare, '--keep', '0.5', '--data', path];
    expect((await runCli([...from, '--label', 'kind', '--out', chosen])).code).toBe(0);
    const again = ['export-data', '--data', path, '--selection', chosen, '--out', at('again')];
    expect((await runCli(again)).stdout).toMatch(/12 of 24 examples/);

    // With other labels it is another dataset.
    const relabelled = await runCli([
      ...select,
      '--label',
      'b',
      '--out',
      at('wrong.selection.json'),
    ]);
    expect(relabelled.stderr).toMatch(/plain\.csv: This dataset doesn't match the scores\./);
    expect(existsSync(at('wrong.selection.json'))).toBe(false);
  });

  it('trains seeds in separate processes', async () => {
    const args = ['train', '--data', data, '--batch', '16', '--epochs', '1', '--seeds', '2'];
    const out = at('processes');
    const side = await runCli([...args, '--out', out, '--workers', '2', '--json']);
    const alone = await runCli([...args, '--out', at('one'), '--workers', '1', '--json']);
    expect(side.code).toBe(0);
    const parseRuns = (text: string) => json<{ runs: object[] }>(text).runs;
    expect(parseRuns(side.stdout)).toEqual(parseRuns(alone.stdout));
    expect(
      readFileSync(join(out, 'seed-1.safetensors')).equals(
        readFileSync(at('one/seed-1.safetensors')),
      ),
    ).toBe(true);
  });

  it('runs the experiment', async () => {
    const args = ['--data', data, '--model', 'mlp', '--batch', '16', '--runs', '1', '--seeds', '1'];
    const choice = [
      '--score',
      'el2n@1,grand@0',
      '--keep',
      '0.25',
      '--offset',
      '0.1',
      '--epochs',
      '1',
    ];
    const { code, stdout } = await runCli([
      'data-diet',
      ...args,
      ...choice,
      '--noise',
      '0.1',
      '--out',
      at('diet.datadiet.json'),
    ]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/AUROC of flipped labels/);
    expect(stdout).toMatch(/worse than random/);
    expect(stdout).toMatch(/el2n@1 window after 0\.1/);
    const { rows } = json<DietResult>(readFileSync(at('diet.datadiet.json'), 'utf8'));
    expect(rows.map(({ choice: name }) => name)).toEqual([
      ...['full', 'random', 'el2n@1', 'el2n@1', 'grand@0', 'grand@0'],
    ]);
  });

  it('studies groups of the scored dataset', async () => {
    const rows = Array.from({ length: 24 }, (_, i) => `${i % 2},${i},${(7 * i) % 5}`);
    const path = at('studied.csv');
    writeFileSync(path, `kind,a,b\n${rows.join('\n')}\n`);
    const scores = at('studied.scores.json');
    const score = ['score-data', '--data', path, '--label', 'kind', '--runs', '1', '--epoch', '0'];
    expect((await runCli([...score, '--out', scores])).code).toBe(0);
    const study = ['study-groups', '--data', path, '--scores', scores, '--epochs', '2'];
    const few = ['--groups', '2', '--group-size', '4', '--spawn', '0,1', '--batch', '8'];
    const { code, stdout, stderr } = await runCli([...study, ...few, '--out', at('groups.json')]);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/barrier from epoch 1/);
    const { groups, spawn } = json<GroupStudy>(readFileSync(at('groups.json'), 'utf8'));
    expect(spawn).toEqual([0, 1]);
    expect(groups.map(({ rank }) => rank)).toEqual([0, 20]);
    const late = await runCli([...study, ...few, '--spawn', '2', '--out', at('late.json')]);
    expect(late.stderr).toMatch(/--spawn: The children of epoch 2/);
  });

  it('stops on Ctrl-C and resumes', async () => {
    const out = at('long');
    const args = [
      'train',
      '--data',
      data,
      '--batch',
      '1',
      '--epochs',
      '60',
      '--out',
      out,
      '--json',
    ];
    const file = join(out, 'seed-0.safetensors');
    const stopped = await interruptCli(args, { signal: 'SIGINT', file, lines: 0 });
    expect(stopped.code).toBe(130);
    expect(stopped.stderr).toContain('Run the same command again');
    expect(existsSync(join(out, 'seed-0.json'))).toBe(false);
    const resumed = await runCli(args);
    expect(json<{ runs: { steps: number }[] }>(resumed.stdout).runs[0]?.steps).toBe(60 * 96);
  });

  it.each([
    [['--gray'], 'error: --gray: It has no effect on clouds.csv. Leave it out.'],
    [['--image-size', '8x8'], 'error: --image-size: It has no effect on clouds.csv.'],
    [['--max-tokens', '8'], 'error: --max-tokens: It applies only to texts'],
    [['--tokenizer', 'x'], 'error: --tokenizer: It applies only to texts'],
    [['--model', 'cnn'], 'error: The model cnn is for images'],
  ])('%j does nothing with a table', async (args, message) => {
    const { code, stderr } = await runCli(['train', '--data', data, '--out', at('none'), ...args]);
    expect(code).toBe(1);
    expect(stderr).toContain(message);
    expect(existsSync(at('none'))).toBe(false);
  });

  it.each([
    [['train', '--out', 'x'], '--data is required.'],
    [
      ['train', '--data', data, '--out', 'x', '--epochs', '0'],
      '--epochs accepts an integer of at least 1',
    ],
    [
      ['train', '--data', data, '--out', 'x', '--batch', '0'],
      '--batch accepts an integer of at least',
    ],
    [['train', '--data', data, '--out', 'x', '--rate', '-1'], '--rate accepts a number above 0'],
    [
      ['train', '--data', data, '--out', 'x', '--momentum', '2'],
      '--momentum accepts a number from 0',
    ],
    [['train', '--data', data, '--out', 'x', '--image-size', '8'], 'accepts a size such as 32x32'],
    [
      ['score-data', '--data', data, '--out', 'x', '--score', 'loss'],
      '--score accepts one of el2n',
    ],
    [
      ['score-data', '--data', data, '--out', 'x', '--epoch', '-1'],
      '--epoch accepts an integer of',
    ],
    [
      ['score-data', '--data', data, '--out', 'x', '--dynamics', 'd', '--workers', '2'],
      '--workers has no effect with --dynamics: its runs are sequential.',
    ],
    [['select-data', '--scores', 'x', '--out', 'y'], '--keep is required.'],
    [
      ['select-data', '--scores', 'x', '--keep', '0', '--out', 'y'],
      '--keep accepts a number above 0',
    ],
    [
      ['select-data', '--scores', 'x', '--keep', '1', '--offset', '0.1', '--out', 'y'],
      '--offset applies only with --policy window, not max.',
    ],
    [
      ['select-data', '--scores', 'x', '--keep', '1', '--label', 'a', '--gray', '--out', 'y'],
      '--label and --gray need --data.',
    ],
    [['convert-scores', '--scores', 'x'], '--out is required.'],
    [['export-data', '--data', data, '--out', 'x'], '--selection or --scores is required.'],
    [['data-diet', '--data', data, '--out', 'x', '--score', 'el2n'], 'such as el2n@3'],
    [['data-diet', '--data', data, '--out', 'x', '--keep', '2'], '--keep accepts numbers above 0'],
    [
      ['data-diet', '--data', data, '--out', 'x', '--policy', 'max', '--offset', '0.1'],
      '--offset applies only with --policy window, not max.',
    ],
    [
      ['data-diet', '--data', data, '--out', 'x', '--noise-seed', '1'],
      '--noise-seed needs --noise.',
    ],
    [
      ['study-groups', '--data', data, '--scores', 'x', '--out', 'y', '--spawn', '0,0.5'],
      '--spawn accepts integers of at least 0, separated by commas, not [0,0.5].',
    ],
    [
      ['study-groups', '--data', data, '--scores', 'x', '--out', 'y', '--group-size', '1'],
      '--group-size accepts an integer of at least 2, not 1.',
    ],
    [
      ['study-groups', '--data', data, '--scores', 'x', '--out', 'y', '--workers', '2'],
      'There is no option --workers.',
    ],
  ])('%j is a usage error', async (args, message) => {
    const { code, stderr } = await runCli(args);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });
});
