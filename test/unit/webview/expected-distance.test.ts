import { describe, expect, it } from 'vitest';
import { expectedDistance } from '../../../webview/heatmap/curves/expected-distance';
import { readProfile, makeRounds, makeState } from './heatmap-fixture';

const [a, b, c] = ['block.0.attention', 'block.1.attention', 'block.2.feedforward'];
const candidates = [
  { sublayer: a, distance: 0.1 },
  { sublayer: b, distance: 0.2 },
  { sublayer: c, distance: 0.4 },
  { sublayer: 'block.2.attention', distance: null, atLeast: 0.3 },
];
/** Rounds have the distances 0.1, 0.2, … */
const after = (rounds: readonly string[], removed: readonly string[]) =>
  expectedDistance(
    makeState({ profile: readProfile({ candidates, rounds: makeRounds(...rounds) }), removed }),
  );

describe('the expected distance', () => {
  it('is the sum of the distances of single removals, if no round has one of them', () => {
    expect(after([], [b, c])).toBeCloseTo(0.6);
    expect(after([a], [b, c])).toBeCloseTo(0.6);
  });

  it('equals the distance of a round with the same removals', () => {
    expect(after([b, a], [a, b])).toBeCloseTo(0.2);
    expect(after([b, a], [b])).toBeCloseTo(0.1);
  });

  it('is the distance of a single removal, whichever rounds contain it', () => {
    expect(after([b, a], [a])).toBeCloseTo(0.1);
    expect(after([c, b, a], [b])).toBeCloseTo(0.2);
  });

  it('is in the proportion of the round that has most in common, as far as that is', () => {
    // After b and a: 0.2 for 0.3. Two of three are common.
    expect(after([b, a], [a, b, c])).toBeCloseTo((0.2 / 0.3) ** (2 / 3) * 0.7);
    // After b alone: 0.1 for 0.2. One of two is common, in the next round one of three.
    expect(after([b, a], [b, c])).toBeCloseTo((0.1 / 0.2) ** (1 / 2) * 0.6);
  });

  it('is unknown if the distance of a removal is', () => {
    expect(after([a], [a, 'block.2.attention'])).toBeUndefined();
    expect(after([a], ['block.1.feedforward'])).toBeUndefined();
    expect(after([a], [])).toBeUndefined();
  });

  it('counts whole blocks once if they are the candidates', () => {
    const profile = readProfile({
      candidates: [{ sublayer: 'block.1', distance: 0.3 }],
    });
    const of = (removed: readonly string[]) => expectedDistance(makeState({ profile, removed }));
    expect(of([b, 'block.1.feedforward'])).toBeCloseTo(0.3);
    expect(of([b])).toBeUndefined();
  });

  it('is left out for width-pruned selections, and for metrics that do not start at 0', () => {
    const widthPruned = {
      [a]: {
        ...{ of: 'groups' as const, kept: 1, count: 2 },
        ...{ parameters: 5, bytes: 10, flopsPerToken: 10, kvBytesPerToken: 2 },
      },
    };
    const profile = readProfile({ candidates });
    expect(expectedDistance(makeState({ profile, removed: [b], widthPruned }))).toBeUndefined();
    const settings = { ...profile.settings, metric: 'perplexity' as const };
    const other = readProfile({ candidates, settings });
    expect(expectedDistance(makeState({ profile: other, removed: [b] }))).toBeUndefined();
    expect(expectedDistance(makeState({ removed: [b] }))).toBeUndefined();
  });
});
