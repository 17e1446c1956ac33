import { describe, expect, it } from 'vitest';
import { histogramBars, histogramRange, histogramRows } from '../../../webview/charts/histogram';

describe('the parts of a histogram', () => {
  it('have distinct labels in any range', () => {
    for (const [low, high] of [
      [0.9931, 0.9969],
      [1000, 1000.004],
      [-2e-5, -1.9e-5],
    ] as const) {
      const counts = new Array<number>(40).fill(1);
      const labels = histogramBars({ low, high, counts }).map(({ label }) => label);
      expect(new Set(labels).size).toBe(40);
    }
  });

  it('have no more digits than they need', () => {
    const bars = histogramBars({ low: 0, high: 1, counts: [1, 0, 2, 4] });
    expect(bars.map(({ label }) => label)).toEqual(['0.125', '0.375', '0.625', '0.875']);
    expect(histogramRows({ low: 2, high: 2, counts: [3] })).toEqual([['2', '2', '3']]);
  });

  it('are numbered by round numbers', () => {
    const numbers = (low: number, high: number): string[] => {
      const range = histogramRange({ low, high, counts: [1, 2] });
      return range?.ticks.map(range.format) ?? [];
    };
    expect(numbers(-0.304, 0.297)).toEqual(['-0.2', '0', '0.2']);
    expect(numbers(0, 1)).toEqual(['0', '0.2', '0.4', '0.6', '0.8', '1']);
    expect(numbers(2, 2)).toEqual([]);
    const narrow = numbers(1000, 1000.001);
    expect(narrow.length).toBeGreaterThan(3);
    expect(new Set(narrow).size).toBe(narrow.length);
  });
});
