import { expect, it } from 'vitest';
import { savedView } from '../../../webview/heatmap/view-state';
import { viewFrom } from '../../../webview/kit/saved-view';

const initial = {
  gridScroll: 0,
  sort: { key: 'sublayer', descending: false },
  filter: { text: '', kind: 'all', mark: 'all' },
  axis: 'sublayers',
  logarithmic: true,
  colors: 'importance',
  hiddenSeries: [],
};

it('is restored', () => {
  const view = {
    gridScroll: 3,
    sort: { key: 'rank', descending: true },
    filter: { text: 'block.1', kind: 'cross-attention', mark: 'removed' },
    axis: 'bytes',
    logarithmic: false,
    colors: 'drift',
    hiddenSeries: ['random'],
  } as const;
  expect(viewFrom(savedView, JSON.parse(JSON.stringify({ view })))).toEqual(view);
});

it('falls back to defaults if nothing valid was saved', () => {
  expect(viewFrom(savedView, undefined)).toEqual(initial);
  expect(viewFrom(savedView, 'text')).toEqual(initial);
  const view = {
    gridScroll: 'far',
    sort: { key: 'color', descending: 1 },
    filter: { text: 3, kind: 'conv', mark: null },
    axis: 'miles',
    hiddenSeries: ['random', 4],
  };
  expect(viewFrom(savedView, { view })).toEqual({ ...initial, hiddenSeries: ['random'] });
});
