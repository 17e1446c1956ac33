import { describe, expect, it } from 'vitest';
import type { Filter, SortKey } from '../../../webview/heatmap/candidate-rows';
import { everything, filterFor, selectRows } from '../../../webview/heatmap/candidate-rows';
import { sortBy } from '../../../webview/components/table';
import { buildCells } from '../../../webview/heatmap/cells';
import { makeModel, readProfile, makeState } from './heatmap-fixture';

const { cells } = buildCells(
  makeState({
    model: makeModel(11),
    profile: readProfile({
      candidates: [
        { sublayer: 'block.0.attention', distance: 0.5 },
        { sublayer: 'block.10.feedforward', distance: 0.01 },
        { sublayer: 'block.2.attention', distance: 0.2 },
      ],
    }),
    removed: ['block.10.feedforward', 'block.2.attention'],
    protectedIds: ['block.0.attention'],
  }),
);
const ids = (filter: Filter, key: SortKey, descending: boolean) =>
  selectRows(cells, filter, { key, descending }).map(({ sublayer }) => sublayer.id);

describe('sorting', () => {
  it('keeps the model order, in which block 2 comes before block 10', () => {
    const order = ids(everything, 'sublayer', false);
    expect(order.indexOf('block.2.attention')).toBeLessThan(order.indexOf('block.10.attention'));
    expect(ids(everything, 'sublayer', true)).toEqual([...order].reverse());
  });

  it('puts those without a distance last either way', () => {
    expect(ids(everything, 'distance', false).slice(0, 3)).toEqual([
      'block.10.feedforward',
      'block.2.attention',
      'block.0.attention',
    ]);
    expect(ids(everything, 'distance', true).slice(0, 3)).toEqual([
      'block.0.attention',
      'block.2.attention',
      'block.10.feedforward',
    ]);
  });

  it('lists removed ones by their order, then protected ones', () => {
    expect(ids(everything, 'mark', false).slice(0, 4)).toEqual([
      'block.10.feedforward',
      'block.2.attention',
      'block.0.attention',
      'block.0.feedforward',
    ]);
  });

  it('breaks ties by the model order in both directions', () => {
    expect(ids(everything, 'parameters', true).slice(0, 2)).toEqual([
      'block.0.feedforward',
      'block.1.feedforward',
    ]);
    expect(ids(everything, 'kind', false)[0]).toBe('block.0.attention');
  });

  it('turns round when the same column is chosen again', () => {
    const first = sortBy({ key: 'block', descending: true }, 'rank');
    expect(first).toEqual({ key: 'rank', descending: false });
    expect(sortBy(first, 'rank')).toEqual({ key: 'rank', descending: true });
  });
});

describe('filtering', () => {
  it('passes over a kind that the model lacks', () => {
    const experts: Filter = { ...everything, text: 'block', kind: 'expert' };
    expect(filterFor(experts, ['attention', 'expert'])).toEqual(experts);
    expect(filterFor(experts, ['attention', 'feedforward'])).toEqual({ ...experts, kind: 'all' });
    expect(filterFor(everything, ['attention'])).toEqual(everything);
  });

  it('matches part of a name in any case, a kind and a mark together', () => {
    expect(ids({ ...everything, text: ' BLOCK.2. ' }, 'sublayer', false)).toEqual([
      'block.2.attention',
      'block.2.feedforward',
    ]);
    const narrow: Filter = { text: 'block', kind: 'attention', mark: 'removed' };
    expect(ids(narrow, 'sublayer', false)).toEqual(['block.2.attention']);
    expect(ids({ ...everything, text: 'none' }, 'sublayer', false)).toEqual([]);
  });
});
