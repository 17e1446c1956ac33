import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { openDataset } from '../../../extension/core/data/datasets/open-dataset';
import { scoreHistogram, summarizeScores } from '../../../extension/core/datadiet/data-map';
import { DataIssues } from '../../../extension/core/datadiet/neighbors/data-issues';
import { findExamples } from '../../../extension/core/datadiet/subsets/find-examples';
import type { ExampleQuery } from '../../../extension/core/datadiet/subsets/find-examples';
import {
  bareScores,
  writeScoreDocument,
} from '../../../extension/core/datadiet/scores/score-document';
import type { ScoreDocument } from '../../../extension/core/datadiet/scores/score-document';
import { ScoredData } from '../../../extension/core/datadiet/scores/scored-data';
import { temporaryFolder } from '../temporary-folder';
import { inEnglish } from '../../../extension/core/message';

const folder = temporaryFolder();
const strokes = join(import.meta.dirname, '../../fixtures/datasets/strokes');

/** Scores 0 to 5; the third is never learned. Classes a, b. */
const small: ScoreDocument = {
  ...bareScores('forgetting', [0, 1, null, 3, 4, 4]),
  classNames: ['a', 'b'],
  labels: [0, 0, 1, 1, 0, 1],
  predicted: [0, 1, 1, 1, 1, 1],
  labelScores: [0.9, 0.1, 0.2, 0.8, 0.3, 0.7],
  labelIssues: [0, 1, 0, 0, 1, 0],
  variability: [0.1, 0.1, 0, 0.4, 0, 0.2],
  confidence: [0.9, 0.1, 0.2, 0.8, 0.3, 0.7],
};
const query: ExampleQuery = { order: 'hardest', page: 0, pageSize: 24 };

describe('scores at a glance', () => {
  it('are counted in equal parts, infinite ones apart', () => {
    const histogram = scoreHistogram(Float64Array.of(0, 0.001, 0.5, 1, Infinity));
    expect(histogram).toMatchObject({ low: 0, high: 1, infinite: 1 });
    expect(histogram.counts[0]).toBe(2);
    expect(histogram.counts.at(-1)).toBe(1);
    expect(histogram.counts.reduce((sum, count) => sum + count)).toBe(4);
    expect(scoreHistogram(Float64Array.of(2, 2)).counts).toEqual([2]);
    expect(scoreHistogram(Float64Array.of(Infinity))).toMatchObject({ counts: [], infinite: 1 });
  });

  it('are counted by class, with the suspected labels', () => {
    const { classes, issues, points } = summarizeScores(small, 'file');
    expect(classes).toEqual([
      {
        ...{ name: 'a', examples: 3, suspected: 2, meanScore: 5 / 3 },
        confused: { label: 1, examples: 2 },
      },
      { name: 'b', examples: 3, suspected: 0, meanScore: 3.5 },
    ]);
    expect(issues).toEqual({ suspected: 2 });
    expect(points).toHaveLength(6);
  });

  it('show a sample of a large map, the same each time', () => {
    const values = Array.from({ length: 5000 }, (_, i) => i / 5000);
    const large = {
      ...bareScores('el2n', values),
      confidence: values,
      variability: values,
      correctness: values,
    };
    const { points, mapped } = summarizeScores(large, 'file');
    expect([points.length, mapped]).toEqual([3000, 5000]);
    expect(points.every(({ index, confidence }) => confidence === index / 5000)).toBe(true);
    expect(summarizeScores(large, 'file').points).toEqual(points);
  });
});

describe('examples', () => {
  it.each([
    [{ order: 'hardest' }, [2, 4, 5, 3, 1, 0]],
    [{ order: 'easiest' }, [0, 1, 3, 4, 5, 2]],
    [{ order: 'suspicious' }, [1, 2, 4, 5, 3, 0]],
    [{ order: 'ambiguous' }, [3, 5, 0, 1, 2, 4]],
    [{ order: 'stored' }, [0, 1, 2, 3, 4, 5]],
    [{ label: 1 }, [2, 5, 3]],
    [{ issue: 'suspected' }, [4, 1]],
    [{ issue: 'suspected', among: [0, 1, 99] }, [1]],
    [{ predicted: 0 }, [0]],
    [{ region: { map: 'dynamics', x: [0.1, 0.2], y: [0, 1] } }, [5, 1, 0]],
    [{ search: 'Example 4' }, [4]],
    [{ search: 'other' }, []],
  ] as const)('are found: %j', (change, expected) => {
    const makeText = (index: number) => `example ${index}`;
    const findable = { document: small, issues: new DataIssues(small), textOf: makeText };
    expect(findExamples(findable, { ...query, ...change })).toEqual(expected);
  });
});

describe('scores with their dataset', () => {
  const data = join(folder, 'strokes');
  let document: ScoreDocument;
  const file = async (name: string, change: Partial<ScoreDocument> = {}): Promise<string> => {
    const path = join(folder, name);
    await writeScoreDocument(path, { ...document, ...change });
    return path;
  };

  beforeAll(async () => {
    cpSync(strokes, data, { recursive: true });
    const { name, fingerprint, classNames, labels, size } = await openDataset(data);
    document = {
      ...bareScores(
        'el2n',
        Array.from({ length: size }, (_, i) => i / size),
      ),
      dataset: { path: data, name, fingerprint },
      classNames: [...classNames],
      labels: [...labels],
    };
  });

  it('show the examples themselves', async () => {
    const scored = await ScoredData.open({ scores: await file('a.scores.json') });
    // Scores may exist before their dataset.
    expect(await scored.map()).toMatchObject({ experiments: [], warnings: [] });
    expect(scored.examples(query).items[0]).not.toHaveProperty('content');
    expect(await scored.data()).toEqual({ data: { path: data, warnings: [] } });
    const { total, items } = scored.examples({ ...query, page: 1, pageSize: 3 });
    // The page with the example that was searched for.
    const sought = { ...query, page: 7, pageSize: 3, containing: items[1]?.index ?? -1 };
    expect(scored.examples(sought)).toEqual({ total, page: 1, place: 4, items });
    const hidden = scored.examples({ ...sought, label: 1, containing: 0 });
    expect(hidden).not.toHaveProperty('place');
    expect([total, items.map(({ index }) => index)]).toEqual([40, [36, 35, 34]]);
    expect(items[0]).toMatchObject({
      label: 'vertical',
      content: { kind: 'picture', width: 8, height: 8 },
    });
  });

  it('are opened with the options that they were scored with', async () => {
    const options = { imageSize: { height: 4, width: 4 }, imageChannels: 1 } as const;
    const { name, fingerprint } = await openDataset(data, options);
    const dataset = { path: data, name, fingerprint, options };
    const scored = await ScoredData.open({ scores: await file('b.scores.json', { dataset }) });
    await scored.data();
    expect(scored.examples(query).items[0]?.content).toMatchObject({ width: 4, height: 4 });
  });

  it('give the reason for missing pictures', async () => {
    const { dataset } = document;
    const fault = async (change: Partial<ScoreDocument>, source = {}): Promise<string> => {
      const scores = await file('c.scores.json', change);
      const scored = await ScoredData.open({ scores, ...source });
      const { problem } = (await scored.data()).data;
      expect(scored.examples(query).items[0]).not.toHaveProperty('content');
      return problem === undefined ? '' : inEnglish(problem);
    };
    const changed = { path: data, name: '', fingerprint: 'other' };
    expect(await fault({ dataset: changed })).toMatch(
      /strokes: This dataset doesn't match the scores/,
    );
    expect(await fault({ dataset: { ...changed, path: '/no/such' } })).toMatch(
      /no\/such: There is no such file or folder/,
    );
    const ten = { ...bareScores('x', new Array<number>(10).fill(0)) };
    writeFileSync(join(folder, 'ten.json'), JSON.stringify({ indices: [], scores: [] }));
    expect(await fault({ ...ten, dataset }, { data })).toMatch(/40 examples, .* 10 scores/);
  });

  it('of another tool get labels and class names from the dataset', async () => {
    const scores = join(folder, 'deepcore.json');
    const indices = document.scores.map((_, i) => i);
    writeFileSync(scores, JSON.stringify({ indices, scores: document.scores }));
    const alone = await ScoredData.open({ scores });
    const { data: unknown, map } = await alone.data();
    expect(unknown.problem?.code).toMatch(/don't specify their dataset/);
    expect(map).toBeUndefined();
    expect((await alone.map()).overview.classes).toEqual([]);
    const { map: named } = await (await ScoredData.open({ scores, data })).data();
    expect(named?.overview.classes.map(({ name, examples }) => [name, examples])).toEqual([
      ['horizontal', 20],
      ['vertical', 20],
    ]);
  });

  it('find experiments of the same dataset next to them', async () => {
    const scores = await file('d.scores.json');
    const experiment = {
      format: 'espalier.datadiet',
      dataset: { name: 'strokes', fingerprint: document.dataset?.fingerprint, examples: 40 },
      request: { iso: 'steps', seeds: 3 },
      rows: [{ choice: 'random', policy: 'random', keep: 0.5, examples: 20, mean: 0.9 }],
    };
    const other = { ...experiment, dataset: { ...experiment.dataset, fingerprint: 'other' } };
    writeFileSync(join(folder, 'x.datadiet.json'), JSON.stringify(experiment));
    writeFileSync(join(folder, 'y.datadiet.json'), JSON.stringify(other));
    writeFileSync(join(folder, 'z.datadiet.json'), '{}');
    const { experiments, warnings } = await (await ScoredData.open({ scores })).map();
    expect(experiments.map(({ file: name, rows }) => [name, rows.length])).toEqual([
      ['x.datadiet.json', 1],
    ]);
    expect(warnings.map(inEnglish)).toEqual([expect.stringContaining('z.datadiet.json')]);
  });

  it('count the kept examples, without the marked ones', async () => {
    const scored = await ScoredData.open({ scores: await file('e.scores.json') });
    const request = { keep: 0.1, policy: 'max', balanced: true, seed: 0 } as const;
    expect(scored.count({ request, leaveOut: [39, 19] })).toEqual({
      examples: 40,
      kept: 4,
      classes: [
        { name: 'horizontal', examples: 20, kept: 2 },
        { name: 'vertical', examples: 20, kept: 2 },
      ],
    });
  });
});
