import { describe, expect, it } from 'vitest';
import {
  expandSublayers,
  removedByRounds,
  nextMark,
  sumSelection,
} from '../../../webview/heatmap/selection';
import { makeModel, makeRounds } from './heatmap-fixture';

const model = makeModel(3);

describe('totals of a selection', () => {
  it('adds up and relates to the whole model, key/value bytes to those of all attention', () => {
    const totals = sumSelection(['block.0.attention', 'block.2.feedforward'], model, {});
    expect(totals).toMatchObject({ sublayers: 2, parameters: 40, bytes: 80, kvBytesPerToken: 4 });
    expect(totals.shares.sublayers).toBeCloseTo(2 / 6);
    expect(totals.shares.parameters).toBeCloseTo(40 / 140);
    expect(totals.shares.bytes).toBeCloseTo(80 / 280);
    expect(totals.shares.kvBytesPerToken).toBeCloseTo(1 / 3);
  });

  it('counts a sublayer once and leaves unknown ids out', () => {
    const ids = ['block.0.attention', 'block.0.attention', 'block.9.attention'];
    expect(sumSelection(ids, model, {}).sublayers).toBe(1);
  });

  it('has no share of nothing', () => {
    const empty = { ...makeModel(0), parameters: 0, bytes: 0 };
    expect(sumSelection([], empty, {}).shares.kvBytesPerToken).toBe(0);
  });
});

it('lists the removals of the first rounds, both sublayers of a block', () => {
  const rounds = makeRounds('block.2.attention', 'block.1', 'block.0.attention');
  expect(removedByRounds(rounds, 2, model)).toEqual([
    'block.2.attention',
    'block.1.attention',
    'block.1.feedforward',
  ]);
});

it('lists a sublayer once even if its block is named too', () => {
  expect(expandSublayers(['block.1.feedforward', 'block.1'], model)).toEqual([
    'block.1.feedforward',
    'block.1.attention',
  ]);
});

it('cycles marks as a click does', () => {
  expect(nextMark('keep')).toBe('removed');
  expect(nextMark('removed')).toBe('protected');
  expect(nextMark('protected')).toBe('keep');
});
