import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readNpy } from '../../../extension/core/data/npy';
import { cartographyFiles } from '../../../extension/core/datadiet/scores/read-dynamics';
import { bareScores } from '../../../extension/core/datadiet/scores/score-document';
import type { ScoreDocument } from '../../../extension/core/datadiet/scores/score-document';
import { readScores, writeScores } from '../../../extension/core/datadiet/scores/score-files';
import { el2n } from '../../../extension/core/datadiet/scores/scores';
import { floatNpy, int64Npy } from '../data/npy-file';
import type { Failure } from '../fail-with';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const place = (name: string): string => join(folder, name);
const file = (name: string, content: string | Uint8Array): string => {
  writeFileSync(place(name), content);
  return place(name);
};

const scored: ScoreDocument = {
  ...bareScores('forgetting', [0.25, null, 3]),
  dataset: { path: '/data/set', name: 'set', fingerprint: 'abc' },
  classNames: ['cat', 'owl, grey'],
  scoring: { model: 'mlp', epoch: 2, runs: 2, seeds: [0, 1], interRunSpearman: 0.5, seconds: 1.5 },
  deviations: [0, null, 1],
  labels: [0, 1, 1],
  predicted: [0, 0, 1],
  labelScores: [0.75, 0.125, 0.5],
  labelIssues: [0, 1, 0],
  confidence: [0.5, 0.25, 1],
  variability: [0, 0.5, 0.25],
  correctness: [1, 0, 0.5],
};

describe('scores are written and read', () => {
  it('as our own document, header first and a line each', async () => {
    await writeScores(place('a.json'), scored, 'espalier');
    expect(await readScores(place('a.json'))).toEqual(scored);
    const lines = readFileSync(place('a.json'), 'utf8').split('\n');
    expect(lines[1]).toBe('  "format": "espalier.scores",');
    expect(lines.length).toBeLessThan(25);
  });

  it('as .npy: one axis, float64', async () => {
    await writeScores(place('a.npy'), scored, 'npy');
    const { dtype, dims, data } = await readNpy(place('a.npy'));
    expect({ dtype, dims, data: [...data] }).toEqual({
      dtype: 'F64',
      dims: [3],
      data: [0.25, Infinity, 3],
    });
    expect((await readScores(place('a.npy'))).scores).toEqual([0.25, null, 3]);
  });

  it('as DeepCore {indices, scores}, in any order', async () => {
    await writeScores(place('b.json'), scored, 'deepcore');
    expect((await readScores(place('b.json'))).scores).toEqual([0.25, null, 3]);
    const mixed = file('c.json', '{"indices": [2, 0, 1], "scores": [0.1, 0.2, 0.3]}');
    expect((await readScores(mixed)).scores).toEqual([0.2, 0.3, 0.1]);
  });

  it("as cleanlab's columns, with names of classes", async () => {
    await writeScores(place('a.csv'), scored, 'cleanlab');
    expect(readFileSync(place('a.csv'), 'utf8').split('\n').slice(0, 3)).toEqual([
      'is_label_issue,label_score,given_label,predicted_label',
      'False,0.7500000,cat,cat',
      'True,0.1250000,"owl, grey",cat',
    ]);
    const { classNames, labels, predicted, labelIssues, labelScores, scores } = await readScores(
      place('a.csv'),
    );
    expect({ classNames, labels, predicted, labelIssues, labelScores }).toEqual({
      classNames: scored.classNames,
      labels: scored.labels,
      predicted: scored.predicted,
      labelIssues: scored.labelIssues,
      labelScores: scored.labelScores,
    });
    expect(scores).toEqual([0.25, 0.875, 0.5]);
    await expect(writeScores(place('d.csv'), bareScores('x', [1]), 'cleanlab')).rejects.toFailWith({
      code: 'cleanlab-columns-missing',
      file: 'd.csv',
    });
  });

  it('as statistics of cartography, with shares or counts of right predictions', async () => {
    const known = {
      ...scored,
      confidence: [0.75, 0.125, 0.5],
      variability: [0.1, 0.2, 0.3],
      correctness: [1, 0, 0.5],
    };
    await writeScores(place('td_metrics.jsonl'), known, 'cartography');
    expect(readFileSync(place('td_metrics.jsonl'), 'utf8').split('\n')[1]).toBe(
      '{"guid":1,"index":1,"threshold_closeness":0.109375,"confidence":0.125,"variability":0.2,"correctness":0,"gold":1}',
    );
    const read = await readScores(place('td_metrics.jsonl'));
    const { scores, confidence, variability, correctness, labels } = read;
    expect({ scores, confidence, variability, correctness, labels }).toEqual({
      scores: [0.25, 0.875, 0.5],
      confidence: known.confidence,
      variability: known.variability,
      correctness: known.correctness,
      labels: scored.labels,
    });
    const line = (guid: string, correctness: number): string =>
      JSON.stringify({ guid, confidence: 0.5, variability: 0.5, correctness });
    const counted = await readScores(file('counts.jsonl', `${line('a', 6)}\n\n${line('b', 3)}\n`));
    expect(counted).toMatchObject({ correctness: [1, 0.5], labels: [], classNames: [] });
    await expect(
      readScores(file('twice.jsonl', `${line('a', 1)}\n${line('a', 1)}\n`)),
    ).rejects.toFailWith({ code: 'guid-duplicate', file: 'twice.jsonl', field: 'example 2' });
    await expect(
      readScores(file('high.jsonl', '{"guid": 0, "confidence": 1.5, "variability": 0}\n')),
    ).rejects.toFailWith({
      code: 'field-invalid',
      file: 'high.jsonl',
      field: 'example 1: confidence',
    });
    await expect(
      writeScores(place('none.jsonl'), bareScores('x', [1]), 'cartography'),
    ).rejects.toFailWith({ code: 'epoch-statistics-missing', file: 'none.jsonl' });
  });

  it('as training dynamics of cartography: a file for each epoch, or one for all', async () => {
    const epochs = [
      [2, 0, 0, 1, 1, 0.5],
      [3, 0, 0, 2, 0, 1],
    ].map((values) => Float32Array.from(values));
    const sink = cartographyFiles(place('dynamics'));
    for (const [epoch, logits] of epochs.entries()) {
      const open = await sink(0, epoch + 1, Int32Array.of(0, 1, 1), 2);
      await open?.write(logits.subarray(0, 4), 0);
      await open?.write(logits.subarray(4), 2);
      await open?.close();
    }
    expect(await sink(1, 1, Int32Array.of(0, 1, 1), 2)).toBeUndefined();
    expect(readFileSync(place('dynamics/dynamics_epoch_1.jsonl'), 'utf8')).toContain(
      '{"guid":2,"logits_epoch_1":[0,1],"gold":1}',
    );
    const whole = [0, 1, 2].map((guid) =>
      JSON.stringify({
        guid: `text-${guid}`,
        ...Object.fromEntries(
          epochs.map((logits, k) => [
            `logits_epoch_${k}`,
            [...logits.subarray(2 * guid, 2 * guid + 2)],
          ]),
        ),
        gold: guid === 0 ? 0 : 1,
      }),
    );
    for (const path of [place('dynamics'), file('whole.jsonl', whole.join('\n'))]) {
      const document = await readScores(path);
      expect(document.labels).toEqual([0, 1, 1]);
      expect(document.predicted).toEqual([0, 1, 1]);
      expect(document.correctness).toEqual([1, 1, 0.5]);
      expect(document.scores).toEqual([...el2n(epochs[1] ?? new Float32Array(0), [0, 1, 1])]);
      const given = [1, 2].map((difference) => 1 / (1 + Math.exp(-difference)));
      const mean = ((given[0] ?? 0) + (given[1] ?? 0)) / 2;
      expect(document.confidence[1]).toBeCloseTo(mean, 6);
      expect(document.variability[1]).toBeCloseTo(mean - (given[0] ?? 0), 6);
    }
  });
});

describe('scores of other tools are refused', () => {
  mkdirSync(place('empty'));
  const faults: [string, () => string, Failure][] = [
    ['that are missing', () => place('none.json'), { code: 'path-missing', file: 'none.json' }],
    [
      'of an unknown kind',
      () => file('a.txt', '1'),
      { code: 'file-type-unsupported', file: 'a.txt' },
    ],
    [
      'of two axes',
      () => file('two.npy', floatNpy([2, 1], [1, 2])),
      { code: 'scores-not-flat', file: 'two.npy', field: 'shape' },
    ],
    [
      'that are not numbers',
      () => file('nan.npy', floatNpy([2], [1, NaN])),
      { code: 'score-not-finite', file: 'nan.npy', field: 'index 1' },
    ],
    ['as text', () => file('bad.json', '{'), { code: 'json-malformed', file: 'bad.json' }],
    [
      'of one example twice',
      () => file('twice.json', '{"indices":[0,0],"scores":[1,2]}'),
      { code: 'score-duplicate', file: 'twice.json', field: 'indices.1' },
    ],
    [
      'of an example too many',
      () => file('more.json', '{"indices":[0,2],"scores":[1,2]}'),
      { code: 'score-duplicate', file: 'more.json', field: 'indices.1' },
    ],
    [
      'of fewer examples than said',
      () => file('few.json', JSON.stringify({ ...scored, examples: 4 })),
      { code: 'score-column-mismatch', file: 'few.json', field: 'scores' },
    ],
    [
      'with a class without name',
      () => file('class.json', JSON.stringify({ ...scored, labels: [0, 1, 2] })),
      { code: 'class-name-missing', file: 'class.json', field: 'classNames' },
    ],
    [
      'with a copy of an example that is not there',
      () => file('copies.json', JSON.stringify({ ...scored, copies: [0, 3, 2] })),
      { code: 'score-index-invalid', file: 'copies.json', field: 'copies' },
    ],
    [
      'without a column',
      () => file('col.csv', 'label_score,given_label\n1,a\n'),
      { code: 'column-missing', file: 'col.csv', field: 'is_label_issue' },
    ],
    [
      'with a score that is none',
      () =>
        file('score.csv', 'is_label_issue,label_score,given_label,predicted_label\nTrue,x,a,b\n'),
      { code: 'value-not-number', file: 'score.csv', field: 'row 1, label_score' },
    ],
    ['in an empty folder', () => place('empty'), { code: 'dynamics-files-missing', file: 'empty' }],
    [
      'with a line that is none',
      () => file('line.jsonl', '{"guid": 1, "gold": 0, "logits_epoch_0": [1, 2]}\n[]'),
      { code: 'field-invalid', file: 'line.jsonl', field: 'line 2' },
    ],
    [
      'with a label that is no class',
      () => file('gold.jsonl', '{"guid": 1, "gold": 2, "logits_epoch_0": [1, 2]}'),
      { code: 'logits-invalid', file: 'gold.jsonl', field: 'line 1: logits_epoch_0' },
    ],
    [
      'with two labels',
      () =>
        file(
          'two.jsonl',
          '{"guid":1,"gold":0,"logits_epoch_0":[1,2]}\n{"guid":1,"gold":1,"logits_epoch_1":[1,2]}',
        ),
      { code: 'label-contradicted', file: 'two.jsonl', field: 'line 2: gold' },
    ],
    [
      'with an epoch missing',
      () =>
        file(
          'gap.jsonl',
          '{"guid":1,"gold":0,"logits_epoch_0":[1,2],"logits_epoch_1":[1,2]}\n{"guid":2,"gold":1,"logits_epoch_1":[1,2]}',
        ),
      { code: 'logits-incomplete', file: 'gap.jsonl' },
    ],
    [
      'without logits',
      () => file('none.jsonl', '{"guid":1,"gold":0}'),
      { code: 'logits-field-missing', file: 'none.jsonl' },
    ],
  ];
  it.each(faults)('%s', async (_, make, message) => {
    const path = make();
    await expect(readScores(path)).rejects.toFailWith(message);
  });

  it('of whole numbers are read', async () => {
    expect((await readScores(file('int.npy', int64Npy([2], [3, 1])))).scores).toEqual([3, 1]);
  });
});
