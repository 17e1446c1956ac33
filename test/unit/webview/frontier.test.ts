import { describe, expect, it } from 'vitest';
import type { OfferedType } from '../../../extension/protocol/frontier';
import { verbatim } from '../../../extension/core/message';
import { placeNames } from '../../../webview/charts/place-names';
import { lossIn, typePoints } from '../../../webview/frontier/frontier-points';
import { moveRule, nearestStop } from '../../../webview/frontier/rule';

const known = { klDivergence: 0.04, perplexityRatio: 1.1, isMeasured: false };

describe('names of points', () => {
  const area = { left: 0, right: 200, top: 0, bottom: 100 };

  it('cover neither markers nor each other', () => {
    const points = [
      { x: 50, y: 50 },
      { x: 62, y: 50 },
    ];
    const [left, right] = placeNames(
      points.map((point) => ({ ...point, width: 30 })),
      points,
      area,
    );
    expect(left).toEqual({ left: 11, top: 50 });
    expect(right).toEqual({ left: 71, top: 50 });
  });

  it('are left out without a place', () => {
    const crowd = Array.from({ length: 9 }, (_, i) => ({
      ...{ x: 100 + 12 * ((i % 3) - 1), y: 50 + 12 * (Math.floor(i / 3) - 1) },
    }));
    expect(placeNames([{ x: 100, y: 50, width: 30 }], crowd, area)).toEqual([undefined]);
  });

  it('stay in the plot, except above a point at its top', () => {
    expect(placeNames([{ x: 198, y: 98, width: 30 }], [], area)).toEqual([{ left: 170, top: 85 }]);
    expect(placeNames([{ x: 50, y: 0, width: 30 }], [], area)).toEqual([{ left: 59, top: 0 }]);
  });

  it('are not crossed by a line if there is another place', () => {
    const point = { x: 50, y: 50, width: 30 };
    const rule = [
      { x: 65, y: 0 },
      { x: 65, y: 100 },
    ];
    expect(placeNames([point], [point], area, [rule])).toEqual([{ left: 11, top: 50 }]);
    const everywhere = Array.from({ length: 21 }, (_, i) => [
      { x: 0, y: 5 * i },
      { x: 200, y: 5 * i },
    ]);
    expect(placeNames([point], [point], area, everywhere)).toEqual([{ left: 59, top: 50 }]);
  });
});

describe('the chart of size against loss', () => {
  it('converts losses to the metric of the panel', () => {
    expect(lossIn('kl', known, 0)).toBe(0.04);
    expect(lossIn('js', known, 0)).toBe(0.01);
    expect(lossIn('perplexity', known, 20)).toBeCloseTo(2);
    expect(lossIn('cosine', known, 0)).toBeUndefined();
    expect(lossIn('js', { ...known, klDivergence: undefined }, 0)).toBeUndefined();
  });

  it('draws types with a known loss that can be chosen', () => {
    const type = (size: string, changes: Partial<OfferedType> = {}): OfferedType => ({
      ...{ size, mix: undefined, bytes: 10, loss: verbatim(''), perplexityRatio: undefined, known },
      ...{ seconds: 1, marks: undefined, isForbidden: false, originalBytes: 20 },
      ...{ requantizes: undefined, ...changes },
    });
    const types = [
      type('50%', { mix: verbatim('') }),
      type('int8', { known: undefined }),
      type('Q8_0', { isForbidden: true }),
      type('Q6_K'),
      type('Q4_K_M', { known: { ...known, isMeasured: true } }),
      type('75%', { mix: verbatim('75 %'), known: { ...known, isMeasured: true } }),
    ];
    const points = typePoints(types, 'js', 0);
    expect(points.map(({ kind }) => kind)).toEqual(['type', 'type', 'made']);
    expect(points.map(({ name, isMeasured, note }) => [name, isMeasured, note])).toEqual([
      ['Q6_K', false, 'KL divergence 0.04, perplexity +10\u00a0% published for Llama 3 8B'],
      ['Q4_K_M', true, 'KL divergence 0.04, perplexity +10\u00a0% on held-out text'],
      ['75 %', true, 'KL divergence 0.04, perplexity +10\u00a0% on held-out text'],
    ]);
  });

  it('moves the rule by the keyboard in the order of sizes', () => {
    const rounds = [100, 90, 80];
    expect(moveRule(rounds, 0, 'ArrowLeft')).toBe(1);
    expect(moveRule(rounds, 0, 'ArrowRight')).toBe(0);
    expect(moveRule(rounds, 0, 'Home')).toBe(2);
    expect(moveRule(rounds, 2, 'PageUp')).toBe(0);
    expect(moveRule(rounds, 2, 'x')).toBeUndefined();
    expect(nearestStop(rounds, 86)).toBe(1);
    expect(nearestStop([], 1)).toBeUndefined();
  });
});
