import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  emptySelection,
  markSublayer,
  matchingRounds,
  selectionCost,
  selectPlan,
  selectRounds,
} from '../../../extension/services/sessions/selection';
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
      rounds: 2,
    });
  });

  it('takes no more rounds than there are', () => {
    expect(selectRounds(emptySelection, 99, rounds, model).rounds).toBe(3);
    expect(selectRounds(emptySelection, -1, rounds, model).rounds).toBe(0);
  });

  it('keeps what is protected', () => {
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
      rounds: undefined,
    });
    const locked = markSublayer(removed, 'block.0.attention', 'protected', rounds, model);
    expect(locked).toEqual({ removed: [], protectedIds: ['block.0.attention'], rounds: 0 });
    expect(markSublayer(locked, 'block.0.attention', 'keep', rounds, model)).toEqual(
      emptySelection,
    );
  });

  it('notices when it arrives at a number of rounds', () => {
    const marked = markSublayer(emptySelection, 'block.2.attention', 'removed', rounds, model);
    expect(marked.rounds).toBe(1);
  });
});

describe('taking over a plan', () => {
  it('expands blocks, drops repetitions and unknown ids', () => {
    const plan = { remove: ['block.1', 'block.1.attention', 'block.9'], protect: ['block.0'] };
    expect(selectPlan(plan, rounds, model)).toEqual({
      removed: ['block.1.attention', 'block.1.feedforward'],
      protectedIds: ['block.0.attention', 'block.0.feedforward'],
      rounds: undefined,
    });
  });
});

it('adds up what a selection removes', () => {
  expect(selectionCost(['block.0.attention', 'block.3.feedforward'], model)).toEqual({
    parameters: 300,
    bytes: 600,
  });
});
