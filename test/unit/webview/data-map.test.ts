import { describe, expect, it } from 'vitest';
import { placeGroups } from '../../../webview/datamap/map/place-groups';
import { groupByCorrectness, groupSeries } from '../../../webview/datamap/map/groups';
import { decodeRgba } from '../../../webview/datamap/picture';
import { mostOffset, savedView, chosenSubset } from '../../../webview/datamap/view-state';
import { viewFrom } from '../../../webview/kit/saved-view';

const read = (saved: unknown) => viewFrom(savedView, saved);

describe('the view of the data map', () => {
  it('is restored', () => {
    const saved = {
      scores: '/a',
      view: {
        query: {
          ...{ order: 'suspicious', label: 3, issue: 'outliers', predicted: 1, similarTo: 4 },
          ...{ search: 'a', marked: true, relabeled: false, page: 2 },
        },
        similarity: 0.98,
        map: { shown: 'embedding', color: 'issue' },
        subset: {
          ...{ keep: 0.3, policy: 'window', offset: 0.2, balanced: false, leaveOutMarked: false },
          without: ['duplicates'],
        },
      },
    };
    expect(read(JSON.parse(JSON.stringify(saved)))).toEqual(saved.view);
  });

  it('falls back to defaults if invalid', () => {
    const view = read({
      view: { query: { order: 'no', label: -1 }, subset: { keep: 7, policy: 3 } },
    });
    expect(view).toEqual(read(undefined));
    expect(view.query.label).toBeUndefined();
  });

  it('never asks for a window beyond the last example', () => {
    const rest = { keep: 0.9, offset: 0.4, balanced: true, leaveOutMarked: true, without: [] };
    const form = { ...rest, policy: 'window' } as const;
    expect(chosenSubset(form, 0.99).request).toMatchObject({ keep: 0.9, offset: 0.1 });
    expect(mostOffset(form)).toBe(0.1);
    expect(chosenSubset({ ...form, policy: 'max' }, 0.99).request).not.toHaveProperty('offset');
  });
});

describe('the embedding map', () => {
  const points = Array.from({ length: 60 }, (_, index) => ({
    ...{ index, x: 0, y: 0, label: index % 30, score: index === 59 ? null : index },
    issues: index < 2 ? (['duplicates'] as const) : [],
  }));
  const classes = Array.from({ length: 30 }, (_, i) => ({ name: `c${i}`, examples: 2 }));
  const sizes = (by: 'label' | 'score' | 'issue') =>
    placeGroups({ classes }, points, by).map((group) => group.points.length);

  it('puts every point into one group with its own color and marker', () => {
    expect(sizes('score')).toEqual([12, 12, 12, 12, 12]);
    expect(sizes('issue')).toEqual([58, 0, 2, 0]);
    const groups = placeGroups({ classes }, points, 'label');
    // More classes than can be told apart share the last group.
    expect(sizes('label').at(-1)).toBe(12);
    expect(groups.flatMap((group) => group.points)).toHaveLength(60);
    expect(new Set(groups.map(({ color, marker }) => `${color} ${marker}`)).size).toBe(25);
  });
});

describe('the charts of the data map', () => {
  it('put every point into one group', () => {
    const points = [0, 1 / 3, 0.5, 2 / 3, 1].map((correctness, index) => ({
      index,
      correctness,
      confidence: 0,
      variability: 0,
    }));
    expect(
      groupByCorrectness(points).map((group) => group.points.map(({ index }) => index)),
    ).toEqual([[3, 4], [1, 2], [0]]);
  });

  it('draw a line for each choice and policy, by the share kept', () => {
    const row = (choice: string, keep: number, policy?: 'max' | 'random') => ({
      choice,
      keep,
      examples: 1,
      mean: keep,
      ...(policy === undefined ? {} : { policy }),
    });
    const series = groupSeries({
      file: 'x',
      dataset: { name: '', fingerprint: '', examples: 1 },
      request: { iso: 'steps', seeds: 1 },
      rows: [
        row('full', 1),
        row('random', 0.5, 'random'),
        row('el2n@3', 0.5, 'max'),
        row('el2n@3', 0.2, 'max'),
      ],
    });
    expect(series.map(({ name, rows }) => [name, rows.map(({ keep }) => keep)])).toEqual([
      ['full', [1]],
      ['random', [0.5]],
      ['el2n@3 max', [0.2, 0.5]],
    ]);
  });

  it('draw pixels without transparency', () => {
    const pixels = btoa(String.fromCharCode(1, 2, 3, 253, 254, 255));
    expect([...decodeRgba(pixels, 2)]).toEqual([1, 2, 3, 255, 253, 254, 255, 255]);
  });
});
