import { describe, expect, it } from 'vitest';
import {
  compareAnswers,
  comparePerplexity,
  meanOverWindows,
  shareInterval,
  shareOverWindows,
} from '../../../extension/core/evaluate/paired';
import { Random } from '../training/random';

const makeLosses = (sums: readonly number[]): { sum: number; tokens: number }[] =>
  sums.map((sum) => ({ sum, tokens: 100 }));

describe('perplexity of two models on the same windows', () => {
  it('has the ratio and the interval of a paired t-test for windows of equal length', () => {
    // Differences per token 0.1, 0.2, 0.3, 0.4, 0.5: mean 0.3, standard error 0.0707107, t(4) 2.776445.
    const before = makeLosses([300, 310, 290, 305, 295]);
    const after = makeLosses([310, 330, 320, 345, 345]);
    const ratio = comparePerplexity(before, after);
    expect(Math.log(ratio?.value ?? 0)).toBeCloseTo(0.3, 10);
    expect(Math.log(ratio?.low ?? 0)).toBeCloseTo(0.3 - 2.776445 * 0.0707107, 2);
    expect(Math.log(ratio?.high ?? 0)).toBeCloseTo(0.3 + 2.776445 * 0.0707107, 2);
  });

  it('has no interval for too few windows', () => {
    expect(comparePerplexity(makeLosses([1, 2, 3]), makeLosses([2, 3, 4]))).toBeUndefined();
  });

  it('has the stated coverage', () => {
    const random = new Random(3);
    let covered = 0;
    for (let trial = 0; trial < 1000; trial++) {
      const before = makeLosses(Array.from({ length: 12 }, () => 300 + 20 * random.normal()));
      const after = before.map(({ sum, tokens }) => ({
        sum: sum + 5 + 3 * random.normal(),
        tokens,
      }));
      const ratio = comparePerplexity(before, after);
      covered += (ratio?.low ?? 9) < Math.exp(0.05) && Math.exp(0.05) < (ratio?.high ?? 0) ? 1 : 0;
    }
    expect(covered).toBeGreaterThan(930);
    expect(covered).toBeLessThan(970);
  });
});

describe('numbers of tokens in windows', () => {
  it('have a mean, and an interval over windows', () => {
    const mean = meanOverWindows(makeLosses([10, 20, 30, 40, 50]));
    expect(mean?.value).toBeCloseTo(0.3, 10);
    expect(mean?.low).toBeCloseTo(0.3 - 2.776445 * 0.0707107, 2);
    expect(mean?.high).toBeCloseTo(0.3 + 2.776445 * 0.0707107, 2);
    expect(meanOverWindows(makeLosses([10, 20, 30]))).toBeUndefined();
  });

  it('as a share are never certain, and are as uncertain as windows differ', () => {
    const all = shareOverWindows(makeLosses([100, 100, 100, 100]));
    expect(all?.low).toBeCloseTo(shareInterval(1, 400).low, 10);
    expect(all?.high).toBe(1);
    expect(all?.low).toBeLessThan(0.995);
    const uneven = shareOverWindows(makeLosses([100, 20, 90, 30]));
    expect(uneven?.value).toBeCloseTo(0.6, 10);
    expect(uneven?.low).toBeLessThan(shareInterval(0.6, 400).low - 0.2);
    expect(uneven?.high).toBe(1);
  });
});

describe('answers of two models to the same examples', () => {
  const answers = (text: string): boolean[] => Array.from(text, (letter) => letter === '1');

  it('are compared by their changed answers', () => {
    const found = compareAnswers(answers('1111111100'), answers('0111111110'));
    expect(found).toMatchObject({ gained: 1, lost: 1, chance: 1, retention: 1 });
    expect(found.difference.value).toBe(0);
    expect(found.difference.low).toBeCloseTo(-found.difference.high, 10);
  });

  it("have the probability of McNemar's exact test", () => {
    const before = answers(`${'1'.repeat(8)}0${'1'.repeat(31)}`);
    const after = answers(`${'0'.repeat(8)}1${'1'.repeat(31)}`);
    const { chance, difference, retention } = compareAnswers(before, after);
    // 2 · (1 + 9) / 2⁹
    expect(chance).toBeCloseTo(20 / 512, 10);
    expect(difference.value).toBeCloseTo(-7 / 40, 10);
    expect(retention).toBeCloseTo(32 / 39, 10);
    expect(difference.high).toBeLessThan(0);
  });

  it('are never sure without a change', () => {
    const { difference, chance } = compareAnswers(answers('1'.repeat(20)), answers('1'.repeat(20)));
    expect(difference.low).toBeLessThan(-0.05);
    expect(difference.high).toBeGreaterThan(0.05);
    expect(chance).toBe(1);
  });

  it('works for large counts', () => {
    const before = Array.from({ length: 6000 }, (_, i) => i % 2 === 0);
    const { chance } = compareAnswers(
      before,
      before.map((isRight) => !isRight),
    );
    expect(chance).toBeCloseTo(1, 5);
  });
});

it("a share has Wilson's interval", () => {
  const { low, high } = shareInterval(0.9, 100);
  expect(low).toBeCloseTo(0.82563, 3);
  expect(high).toBeCloseTo(0.94477, 3);
});
