import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { logScale, scaleTicks } from '../../../webview/charts/log-scale';
import { inkOn, paletteColor, paletteStops } from '../../../webview/charts/palette';

function makeScale(...values: readonly number[]) {
  const scale = logScale(values);
  if (scale === undefined) throw new Error('No scale');
  return scale;
}

describe('logarithmic scale', () => {
  it('is logarithmic and clamps values outside its range', () => {
    const scale = makeScale(0.01, 1);
    expect(scale.position(0.1)).toBeCloseTo(0.5);
    expect(scale.position(0)).toBe(0);
    expect(scale.position(0.001)).toBe(0);
    expect(scale.position(7)).toBe(1);
  });

  it('puts the only value in the middle', () => {
    expect(makeScale(0.3, 0.3).position(0.3)).toBe(0.5);
  });

  it('needs a positive number', () => {
    expect(logScale([])).toBeUndefined();
    expect(logScale([0, -1, Number.NaN, Infinity])).toBeUndefined();
  });

  it('never turns the order round, and stays within [0, 1]', () => {
    const positive = fc.double({ min: 1e-12, max: 1e6, noNaN: true });
    fc.assert(
      fc.property(fc.array(positive, { minLength: 1 }), positive, positive, (values, a, b) => {
        const scale = makeScale(...values);
        const [low, high] = [scale.position(Math.min(a, b)), scale.position(Math.max(a, b))];
        expect(low).toBeLessThanOrEqual(high);
        expect(low).toBeGreaterThanOrEqual(0);
        expect(high).toBeLessThanOrEqual(1);
      }),
    );
  });

  it('numbers its ends and the decades with room around them', () => {
    expect(scaleTicks(makeScale(0.0004, 0.45))).toEqual([0.0004, 0.01, 0.1, 0.45]);
    expect(scaleTicks(makeScale(2, 8))).toEqual([2, 4, 8]);
    expect(scaleTicks(makeScale(3))).toEqual([3]);
  });
});

describe('palette', () => {
  it('runs from viridis dark to viridis light', () => {
    expect(paletteColor(0)).toBe('rgb(68, 1, 84)');
    expect(paletteColor(1)).toBe('rgb(253, 231, 37)');
    expect(paletteColor(-1)).toBe(paletteColor(0));
    expect(paletteColor(2)).toBe(paletteColor(1));
    expect(paletteStops()).toHaveLength(11);
  });

  it('gets lighter all the way, and its ink keeps a contrast of 4.5 : 1', () => {
    let before = -1;
    for (let step = 0; step <= 100; step++) {
      const luminance = luminanceOf(paletteColor(step / 100));
      expect(luminance).toBeGreaterThan(before);
      before = luminance;
      const ink = inkOn(step / 100) === 'white' ? 1 : 0;
      const contrast = (Math.max(luminance, ink) + 0.05) / (Math.min(luminance, ink) + 0.05);
      expect(contrast).toBeGreaterThanOrEqual(4.5);
    }
  });
});

/** Relative luminance of WCAG 2. */
function luminanceOf(color: string): number {
  const channels = [...color.matchAll(/\d+/g)].map(([digits]) => Number(digits) / 255);
  const linear = channels.map((value) =>
    value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4,
  );
  return [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => sum + weight * (linear[i] ?? 0), 0);
}
