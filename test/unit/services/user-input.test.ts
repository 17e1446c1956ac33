import { describe, expect, it } from 'vitest';
import { formatBytes, formatCount, formatPercent } from '../../../extension/core/format';
import { parseMemorySize } from '../../../extension/core/runtime/memory-size';
import { parseBudget } from '../../../extension/services/search-budget';
import { counted, inEnglish } from '../../../extension/core/message';

describe('parseMemorySize', () => {
  it.each([
    ['4GiB', 4 * 2 ** 30],
    [' 512 mib ', 512 * 2 ** 20],
    ['8 GB', 8e9],
    ['1.5G', 1.5e9],
    ['1024', 1024],
  ])('reads %s', (text, bytes) => {
    expect(parseMemorySize(text)).toBe(bytes);
  });

  it.each(['', 'much', '-1GiB', '4 XiB', '0', '1e9', '99999999TiB'])('refuses "%s"', (text) => {
    expect(parseMemorySize(text)).toBeUndefined();
  });
});

describe('parseBudget', () => {
  it.each([
    ['25%', { kind: 'ratio', ratio: 0.25 }],
    ['100 %', { kind: 'ratio', ratio: 1 }],
    ['6', { kind: 'count', count: 6 }],
    ['All', { kind: 'all' }],
  ])('reads %s', (text, budget) => {
    expect(parseBudget(text)).toEqual(budget);
  });

  it.each(['', '0', '0%', '101%', '2.5', '-3', 'half'])('refuses "%s"', (text) => {
    expect(parseBudget(text)).toBeUndefined();
  });
});

describe('numbers for people', () => {
  it('are short', () => {
    expect([0, 1, 2].map((count) => inEnglish(counted(count, 'group')))).toEqual([
      '0 groups',
      '1 group',
      '2 groups',
    ]);
    expect(formatCount(999)).toBe('999');
    expect(formatCount(3_421_000)).toBe('3.42 M');
    expect(formatCount(999_999)).toBe('1.00 M');
    expect(formatBytes(7_172_000)).toBe('6.84 MiB');
    expect(formatBytes(512)).toBe('512 B');
    expect(formatPercent(0.246)).toBe('25\u00a0%');
    expect(formatPercent(0.0123)).toBe('1.2\u00a0%');
  });
});
