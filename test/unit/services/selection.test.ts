import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  emptySelection,
  markSublayer,
  matchingRounds,
  smallLossRounds,
  selectionCost,
  selectPlan,
  selectRounds,
} from '../../../extension/services/sessions/selection';
import { defaultSettings } from '../../../extension/core/prune/options';
import type { Mark } from '../../../extension/protocol/heatmap';
import { noMarks } from '../../../extension/protocol/marks';
import type { Selection } from '../../../extension/services/sessions/selection';
import { smallModel } from './small-model';

const model = smallModel(4);
const rounds = ['block.2.attention', 'block.1', 'block.3.feedforward'].map((removed, index) => ({
  removed,
  distance: index / 10,
}));

describe('selecting rounds', () => {
  it('removes in the order of the search, whole blocks as both sublayers', () => {
    expect(selectRounds(emptySelection, 2, rounds, model)).toEqual({
      removed: ['block.2.attention', 'block.1.attention', 'block.1.feedforward'],
      protectedIds: [],
      ...{ rounds: 2, slider: 2, byHand: noMarks },
    });
  });

  it('selects at most the existing rounds', () => {
    expect(selectRounds(emptySelection, 99, rounds, model).rounds).toBe(3);
    expect(selectRounds(emptySelection, -1, rounds, model).rounds).toBe(0);
  });

  it('keeps protected sublayers', () => {
    const locked = markSublayer(emptySelection, 'block.1.attention', 'protected', rounds, model);
    const selected = selectRounds(locked, 2, rounds, model);
    expect(selected.removed).toEqual(['block.2.attention', 'block.1.feedforward']);
    expect(selected.rounds).toBe(2);
  });

  it('is recognised again from its sublayers in any order', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 3 }), fc.array(fc.nat()), (count, keys) => {
        const { removed } = selectRounds(emptySelection, count, rounds, model);
        const shuffled = removed
          .map((id, index) => ({ id, key: keys[index] ?? 0 }))
          .sort((a, b) => a.key - b.key)
          .map(({ id }) => id);
        expect(matchingRounds(shuffled, rounds, model)).toBe(count);
      }),
    );
  });
});

describe('marking by hand', () => {
  it('adds, locks and frees one sublayer', () => {
    const removed = markSublayer(emptySelection, 'block.0.attention', 'removed', rounds, model);
    expect(removed).toEqual({
      removed: ['block.0.attention'],
      protectedIds: [],
      ...{ rounds: undefined, slider: 0 },
      byHand: { removed: ['block.0.attention'], kept: [] },
    });
    const locked = markSublayer(removed, 'block.0.attention', 'protected', rounds, model);
    expect(locked).toEqual({ ...emptySelection, protectedIds: ['block.0.attention'] });
    expect(markSublayer(locked, 'block.0.attention', 'keep', rounds, model)).toEqual(
      emptySelection,
    );
  });

  it('notices when it arrives at a number of rounds', () => {
    const marked = markSublayer(emptySelection, 'block.2.attention', 'removed', rounds, model);
    expect(marked.rounds).toBe(1);
  });
});

describe('moving the slider after marking by hand', () => {
  const mark = (id: string, how: Mark, from: Selection): Selection =>
    markSublayer(from, id, how, rounds, model);

  it('keeps marks of removed and kept sublayers when rounds change', () => {
    const start = selectRounds(emptySelection, 2, rounds, model);
    const keptState = mark(
      'block.1.attention',
      'keep',
      mark('block.0.attention', 'removed', start),
    );
    expect(keptState.removed).toEqual([
      'block.2.attention',
      'block.1.feedforward',
      'block.0.attention',
    ]);
    expect(selectRounds(keptState, 3, rounds, model)).toMatchObject({
      removed: [
        ...['block.2.attention', 'block.1.feedforward', 'block.3.feedforward'],
        'block.0.attention',
      ],
      ...{ rounds: undefined, slider: 3 },
    });
    expect(selectRounds(keptState, 0, rounds, model).removed).toEqual(['block.0.attention']);
  });

  it('ends a mark with the opposite one', () => {
    const start = selectRounds(emptySelection, 2, rounds, model);
    const keptState = mark('block.1.attention', 'keep', start);
    expect(mark('block.1.attention', 'removed', keptState)).toEqual(start);
  });
});

describe('the last round with a small loss', () => {
  const settings = { ...defaultSettings, metric: 'js' } as const;
  const measured = (count: number, perplexity: number) => ({
    ...{ rounds: count, text: 'bundled', perplexity, tokens: 8, tokensPerSecond: 1 },
  });
  const at = (...distances: readonly number[]) =>
    distances.map((distance, i) => ({ removed: `block.${i}.attention`, distance }));

  it('uses perplexity if it was measured, otherwise distance', () => {
    const profile = { settings, rounds: at(0.001, 0.02, 0.05), evaluations: [] };
    expect(smallLossRounds(profile)).toBe(2);
    const evaluations = [measured(0, 20), measured(2, 40), measured(3, 21)];
    expect(smallLossRounds({ ...profile, evaluations: evaluations.slice(0, 2) })).toBe(1);
    expect(smallLossRounds({ ...profile, evaluations })).toBe(3);
  });

  it('is empty if no round has a small loss, or the metric has no scale', () => {
    expect(smallLossRounds({ settings, rounds: at(0.5, 0.6), evaluations: [] })).toBe(0);
    const norm = { ...settings, metric: 'norm' } as const;
    expect(smallLossRounds({ settings: norm, rounds: at(0.001), evaluations: [] })).toBe(0);
  });
});

describe('taking over a plan', () => {
  it('expands blocks, drops repetitions and unknown ids', () => {
    const plan = { remove: ['block.1', 'block.1.attention', 'block.9'], protect: ['block.0'] };
    expect(selectPlan(plan, rounds, model)).toEqual({
      removed: ['block.1.attention', 'block.1.feedforward'],
      protectedIds: ['block.0.attention', 'block.0.feedforward'],
      ...{ rounds: undefined, slider: 0 },
      byHand: { removed: ['block.1.attention', 'block.1.feedforward'], kept: [] },
    });
  });
});

it('sums the savings of a selection', () => {
  expect(selectionCost(['block.0.attention', 'block.3.feedforward'], model)).toEqual({
    parameters: 300,
    bytes: 600,
  });
});
