import { describe, expect, it } from 'vitest';
import type { Mark } from '../../../extension/protocol/heatmap';
import { Choices } from '../../../webview/heatmap/choices';
import { withChoice } from '../../../webview/heatmap/draft';
import type { Choice } from '../../../webview/heatmap/draft';
import { makeEvaluation, readProfile, makeRounds, makeState } from './heatmap-fixture';

const profile = readProfile({
  rounds: makeRounds('block.2.attention', 'block.1.attention', 'block.0.attention'),
  evaluations: [makeEvaluation(2, 30)],
});
const start = makeState({
  ...{ profile, selectedRounds: 1, slider: 1 },
  removed: ['block.2.attention'],
});

describe('a choice shown ahead of the host', () => {
  it('applies rounds with their known results', () => {
    expect(withChoice(start, { type: 'selectRounds', rounds: 2 })).toMatchObject({
      selectedRounds: 2,
      removed: ['block.2.attention', 'block.1.attention'],
      selectionEvaluation: { perplexity: 30 },
    });
  });

  it('leaves the rounds when a mark changes the removals', () => {
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

  it('keeps marks that were set by hand when the slider moves', () => {
    const removed = withChoice(start, {
      ...{ type: 'setMark', sublayer: 'block.0.feedforward', mark: 'removed' },
    });
    const keptChoice = withChoice(removed, {
      ...{ type: 'setMark', sublayer: 'block.2.attention', mark: 'keep' },
    });
    expect(keptChoice).toMatchObject({ removed: ['block.0.feedforward'], slider: 1 });
    const moved = withChoice(keptChoice, { type: 'selectRounds', rounds: 2 });
    expect(moved).toMatchObject({
      removed: ['block.1.attention', 'block.0.feedforward'],
      ...{ slider: 2, selectedRounds: undefined, selectionEvaluation: undefined },
    });
    expect(withChoice(moved, { type: 'clearMarks' })).toMatchObject({
      removed: ['block.2.attention', 'block.1.attention'],
      ...{ selectedRounds: 2, selectionEvaluation: { perplexity: 30 } },
    });
  });

  it('splits a protected block when one of its sublayers is freed', () => {
    const changed = withChoice(
      { ...start, protectedIds: ['block.1'] },
      { type: 'setMark', sublayer: 'block.1.attention', mark: 'keep' },
    );
    expect(changed.protectedIds).toEqual(['block.1.feedforward']);
  });
});

describe('choices on their way to the host', () => {
  /** Host that accepts each choice on demand. */
  const slowHost = () => {
    const reported: Choice[] = [];
    const answers: (() => void)[] = [];
    const choices = new Choices(async (choice) => {
      reported.push(choice);
      return new Promise((resolve) => answers.push(resolve));
    });
    const answer = async () => {
      answers.shift()?.();
      await Promise.resolve();
      await Promise.resolve();
    };
    return { told: reported, choices, answer };
  };
  const rounds = (count: number): Choice => ({ type: 'selectRounds', rounds: count });
  const mark = (name: Mark): Choice => ({
    ...{ type: 'setMark', sublayer: 'block.0.attention', mark: name },
  });

  it('are shown until the host has taken them', async () => {
    const { choices, answer } = slowHost();
    choices.add(mark('removed'));
    expect(choices.waiting.reduce(withChoice, start).removed).toEqual([
      'block.2.attention',
      'block.0.attention',
    ]);
    await answer();
    expect(choices.waiting).toEqual([]);
  });

  it('are sent one after the other: an answer to an earlier click changes nothing', async () => {
    const { told, choices, answer } = slowHost();
    choices.add(mark('removed'));
    choices.add(mark('protected'));
    expect(told).toEqual([mark('removed')]);
    await answer();
    expect(told).toEqual([mark('removed'), mark('protected')]);
    const answered = withChoice(start, mark('removed'));
    expect(choices.waiting.reduce(withChoice, answered).protectedIds).toEqual([
      'block.0.attention',
    ]);
    await answer();
    expect(choices.waiting).toEqual([]);
  });

  it('reach the host before a call that uses them', async () => {
    const { told, choices, answer } = slowHost();
    let known: readonly Choice[] | undefined;
    choices.add(mark('removed'));
    choices.add(mark('protected'));
    const called = choices.afterAll(() => {
      known = [...told];
    });
    await answer();
    expect(known).toBeUndefined();
    await answer();
    await called;
    expect(known).toEqual([mark('removed'), mark('protected')]);
  });

  it('report only the last position of a dragged slider, and every mark', async () => {
    const { told, choices, answer } = slowHost();
    choices.add(rounds(1));
    choices.add(rounds(2));
    choices.add(mark('protected'));
    choices.add(rounds(3));
    expect(choices.waiting.reduce(withChoice, start).selectedRounds).toBe(3);
    for (let i = 0; i < 3; i++) await answer();
    expect(told).toEqual([rounds(1), mark('protected'), rounds(3)]);
    expect(choices.waiting).toEqual([]);
  });
});
