import { describe, expect, it } from 'vitest';
import type { HeatmapState } from '../../../extension/protocol/heatmap';
import { withChoice } from '../../../webview/heatmap/draft';
import { CHOICE_MILLISECONDS, PanelStore } from '../../../webview/heatmap/panel-store';
import { evaluationOf, profileOf, roundsOf, stateOf } from './heatmap-fixture';

const profile = profileOf({
  rounds: roundsOf('block.2.attention', 'block.1.attention', 'block.0.attention'),
  evaluations: [evaluationOf(2, 30)],
});
const start = stateOf({ profile, selectedRounds: 1, removed: ['block.2.attention'] });

function storeWith(state: HeatmapState): PanelStore {
  const store = new PanelStore();
  store.receive({ type: 'state', state }, 0);
  return store;
}

describe('a choice shown ahead of the host', () => {
  it('applies rounds with what is known of them', () => {
    expect(withChoice(start, { type: 'selectRounds', rounds: 2 })).toMatchObject({
      selectedRounds: 2,
      removed: ['block.2.attention', 'block.1.attention'],
      selectionEvaluation: { perplexity: 30 },
    });
  });

  it('leaves the rounds when a mark changes what is removed', () => {
    const changed = withChoice(start, {
      type: 'setMark',
      sublayer: 'block.2.attention',
      mark: 'protected',
    });
    expect(changed).toMatchObject({ removed: [], protectedIds: ['block.2.attention'] });
    expect(changed.selectedRounds).toBeUndefined();
  });

  it('keeps the rounds when a kept sublayer is protected', () => {
    const sublayer = 'block.0.feedforward';
    const changed = withChoice(start, { type: 'setMark', sublayer, mark: 'protected' });
    expect(changed).toMatchObject({ selectedRounds: 1, protectedIds: [sublayer] });
  });

  it('splits a protected block when one of its sublayers is freed', () => {
    const changed = withChoice(
      { ...start, protectedIds: ['block.1'] },
      { type: 'setMark', sublayer: 'block.1.attention', mark: 'keep' },
    );
    expect(changed.protectedIds).toEqual(['block.1.feedforward']);
  });
});

describe('the store', () => {
  it('has nothing to draw before the first state', () => {
    const store = new PanelStore();
    store.receive({ type: 'patch', patch: { removed: [] }, cleared: [] }, 0);
    expect(store.state).toBeUndefined();
  });

  it('replaces patched fields and clears those that are named', () => {
    const store = storeWith(start);
    store.receive({ type: 'patch', patch: { blocked: 'No.' }, cleared: ['selectedRounds'] }, 1);
    expect(store.state).toMatchObject({ blocked: 'No.', removed: ['block.2.attention'] });
    expect(store.state?.selectedRounds).toBeUndefined();
  });

  it('does not jump back when the host answers an earlier step of the slider', () => {
    const store = storeWith(start);
    store.choose({ type: 'selectRounds', rounds: 2 }, 10);
    store.choose({ type: 'selectRounds', rounds: 3 }, 20);
    const answer = { selectedRounds: 2, removed: ['block.2.attention', 'block.1.attention'] };
    store.receive({ type: 'patch', patch: answer, cleared: [] }, 30);
    expect(store.state?.selectedRounds).toBe(3);
    store.receive({ type: 'patch', patch: { ...answer, selectedRounds: 3 }, cleared: [] }, 40);
    store.receive({ type: 'patch', patch: { ...answer, selectedRounds: 1 }, cleared: [] }, 50);
    expect(store.state?.selectedRounds).toBe(1);
  });

  it('does not jump back when the host answers an earlier click on the same cell', () => {
    const store = storeWith(start);
    const sublayer = 'block.0.attention';
    store.choose({ type: 'setMark', sublayer, mark: 'removed' }, 10);
    store.choose({ type: 'setMark', sublayer, mark: 'protected' }, 20);
    const answer = { removed: [...start.removed, sublayer], protectedIds: [] };
    store.receive({ type: 'patch', patch: answer, cleared: [] }, 30);
    expect(store.state?.protectedIds).toEqual([sublayer]);
    const second = { removed: start.removed, protectedIds: [sublayer] };
    store.receive({ type: 'patch', patch: second, cleared: [] }, 40);
    store.receive({ type: 'patch', patch: answer, cleared: [] }, 50);
    expect(store.state?.protectedIds).toEqual([]);
  });

  it('keeps a choice while only progress arrives, and gives it up when nobody confirms it', () => {
    const store = storeWith(start);
    store.choose({ type: 'setMark', sublayer: 'block.0.attention', mark: 'removed' }, 0);
    store.receive({ type: 'patch', patch: { job: { kind: 'idle' } }, cleared: [] }, 10);
    expect(store.state?.removed).toEqual(['block.2.attention', 'block.0.attention']);
    store.expire(CHOICE_MILLISECONDS);
    expect(store.state?.removed).toEqual(['block.2.attention']);
  });
});
