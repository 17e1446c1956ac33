import { expect, it } from 'vitest';
import { initialView, savedState, viewFrom } from '../../../webview/heatmap/view-state';
import { stateOf } from './heatmap-fixture';

it('comes back as it was saved', () => {
  const view = {
    scrollTop: 12,
    gridScroll: 3,
    sort: { key: 'rank', descending: true },
    filter: { text: 'block.1', kind: 'cross-attention', mark: 'removed' },
    axis: 'bytes',
    logarithmic: false,
    hiddenSeries: ['random'],
  } as const;
  const saved: unknown = JSON.parse(JSON.stringify(savedState(stateOf(), view)));
  expect(viewFrom(saved)).toEqual(view);
});

it('keeps what a serializer needs to show the same model and selection', () => {
  const state = stateOf({
    profileFile: '/models/tiny.layerprofile.json',
    selectedRounds: 0,
    protectedIds: ['block.0'],
  });
  expect(savedState(state, initialView)).toMatchObject({
    model: '/models/tiny',
    profileFile: '/models/tiny.layerprofile.json',
    selectedRounds: 0,
    removed: [],
    protectedIds: ['block.0'],
  });
  expect(savedState(stateOf(), initialView)).not.toHaveProperty('selectedRounds');
});

it('falls back where nothing, or something else, was saved', () => {
  expect(viewFrom(undefined)).toEqual(initialView);
  expect(viewFrom('text')).toEqual(initialView);
  const odd = {
    view: {
      scrollTop: 'far',
      sort: { key: 'colour', descending: 1 },
      filter: { text: 3, kind: 'conv', mark: null },
      axis: 'miles',
      hiddenSeries: ['random', 4],
    },
  };
  expect(viewFrom(odd)).toEqual({ ...initialView, hiddenSeries: ['random'] });
});
