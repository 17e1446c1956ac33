import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { interRunSpearman, ranks, spearman } from '../../../extension/core/data/rank-correlation';
import {
  Cartography,
  el2n,
  Forgetting,
  isCorrect,
  marginError,
  meanOverRuns,
} from '../../../extension/core/datadiet/scores/scores';

const logits = Float32Array.of(Math.log(2), Math.log(1), Math.log(1), 1000, 0, 0);

describe('scores of logits', () => {
  it('EL2N', () => {
    const scores = el2n(logits, [0, 1]);
    // Probabilities ½, ¼, ¼ with label 0; 1, 0, 0 with label 1, where large logits must not overflow.
    expect(scores[0]).toBeCloseTo(Math.sqrt(0.25 + 2 / 16), 6);
    expect(scores[1]).toBeCloseTo(Math.SQRT2, 12);
  });

  it('margin error, correctness', () => {
    expect(marginError(logits, [0, 1])[0]).toBeCloseTo(-0.25, 6);
    expect(marginError(logits, [1, 1])[0]).toBeCloseTo(0.25, 6);
    expect([...isCorrect(logits, [0, 1])]).toEqual([1, 0]);
  });
});

describe('statistics over epochs', () => {
  it('counts forgetting events; never learned is infinite', () => {
    const forgetting = new Forgetting(3);
    for (const correct of [
      [1, 0, 0],
      [0, 0, 1],
      [1, 0, 1],
      [0, 0, 1],
    ]) {
      forgetting.observe(Uint8Array.from(correct));
    }
    expect([...forgetting.scores]).toEqual([2, Number.POSITIVE_INFINITY, 0]);
  });

  it('observes part of the examples at a time', () => {
    const forgetting = new Forgetting(4);
    forgetting.observe(Uint8Array.of(1, 1), 2);
    forgetting.observe(Uint8Array.of(0), 3);
    expect([...forgetting.scores].slice(2)).toEqual([0, 1]);
  });

  it('gathers confidence, variability and correctness', () => {
    const cartography = new Cartography(2);
    cartography.observe(Float64Array.of(0.2, 1), Uint8Array.of(0, 1));
    cartography.observe(Float64Array.of(0.6, 1), Uint8Array.of(1, 1));
    const { confidence, variability, correctness } = cartography.statistics;
    expect(confidence[0]).toBeCloseTo(0.4, 12);
    expect(variability[0]).toBeCloseTo(0.2, 12);
    expect([...variability].at(1)).toBe(0);
    expect([...correctness]).toEqual([0.5, 1]);
  });

  it('averages runs', () => {
    expect([...meanOverRuns([Float64Array.of(1, 2), Float64Array.of(3, Infinity)])]).toEqual([
      2,
      Infinity,
    ]);
  });
});

describe('rank correlation', () => {
  it('shares ranks among equal values, infinite ones too', () => {
    expect([...ranks(Float64Array.of(3, 1, 3, Infinity, Infinity))]).toEqual([
      2.5, 1, 2.5, 4.5, 4.5,
    ]);
  });

  it('equals the value by hand', () => {
    // Ranks 1 2 3 4 5 and 1 2 3.5 5 3.5: covariance 8, variances 10 and 9.5.
    const byHand = 8 / Math.sqrt(95);
    const [a, b] = [Float64Array.of(1, 2, 3, 4, 5), Float64Array.of(5, 6, 7, 8, 7)];
    expect(spearman(a, b)).toBeCloseTo(byHand, 12);
    expect(spearman(a, Float64Array.of(1, 1, 1, 1, 1))).toBeUndefined();
    expect(interRunSpearman([a])).toBeUndefined();
    expect(interRunSpearman([a, a, b])).toBeCloseTo((1 + 2 * byHand) / 3, 12);
  });

  it('does not change under monotone maps and turns its sign under reversal', () => {
    const values = fc.array(fc.integer({ min: -50, max: 50 }), { minLength: 2, maxLength: 30 });
    fc.assert(
      fc.property(values, fc.infiniteStream(fc.integer({ min: -50, max: 50 })), (list, stream) => {
        const a = Float64Array.from(list);
        const b = Float64Array.from(list, () => Number(stream.next().value));
        const plain = spearman(a, b);
        const bent = spearman(
          a.map((x) => x ** 3 + x),
          b,
        );
        const reversed = spearman(
          a.map((x) => -x),
          b,
        );
        expect(bent ?? 2).toBeCloseTo(plain ?? 2, 12);
        expect(reversed ?? -2).toBeCloseTo(-(plain ?? 2), 12);
      }),
    );
  });
});
