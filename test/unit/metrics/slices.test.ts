import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { splitIntoLooks, splitIntoSlices } from '../../../extension/core/metrics/slices';

describe('slices', () => {
  it('covers every row once, each sequence from its first row on', () => {
    const lengths = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(lengths, fc.boolean(), fc.integer({ min: 1, max: 6 }), (rows, isCausal, most) => {
        const ends = rows.map(() => 0);
        const texts = Math.min(most, rows.length);
        for (const { sequence, from, to } of splitIntoSlices(rows, isCausal, texts)) {
          expect(from).toBe(ends[sequence]);
          expect(to).toBeGreaterThan(from);
          ends[sequence] = to;
        }
        expect(ends).toEqual(rows);
      }),
    );
  });

  it('takes whole sequences if rows depend on later ones', () => {
    expect(splitIntoSlices([100, 30], false)).toEqual([
      { sequence: 0, from: 0, to: 100 },
      { sequence: 1, from: 0, to: 30 },
    ]);
  });

  it('begins with 64 rows and doubles if rows depend only on earlier ones', () => {
    expect(splitIntoSlices([200, 40], true)).toEqual([
      { sequence: 0, from: 0, to: 64 },
      { sequence: 0, from: 64, to: 128 },
      { sequence: 0, from: 128, to: 200 },
      { sequence: 1, from: 0, to: 40 },
    ]);
  });

  it('begins with the first rows of each text', () => {
    expect(splitIntoSlices([100, 100, 80], true, 2)).toEqual([
      { sequence: 0, from: 0, to: 64 },
      { sequence: 1, from: 0, to: 64 },
      { sequence: 0, from: 64, to: 100 },
      { sequence: 1, from: 64, to: 100 },
      { sequence: 2, from: 0, to: 80 },
    ]);
  });
});

describe('looks', () => {
  const makeRows = (rows: readonly number[], isCausal: boolean): number[] =>
    splitIntoLooks(rows, isCausal).map((look) =>
      look.reduce((sum, { from, to }) => sum + to - from, 0),
    );

  it('cover every row once, each sequence from its first row on', () => {
    const lengths = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(lengths, fc.boolean(), (rows, isCausal) => {
        const ends = rows.map(() => 0);
        for (const { sequence, from, to } of splitIntoLooks(rows, isCausal).flat()) {
          expect(from).toBe(ends[sequence]);
          expect(to).toBeGreaterThan(from);
          ends[sequence] = to;
        }
        expect(ends).toEqual(rows);
      }),
    );
  });

  it('begin with 64 rows of four sequences and double; further sequences follow one by one', () => {
    expect(makeRows([128, 128, 128, 128], true)).toEqual([64, 64, 128, 256]);
    expect(makeRows([100, 30, 100], true)).toEqual([72, 54, 96, 8]);
    expect(makeRows([64, 64, 64, 64, 90, 80], true)).toEqual([64, 64, 128, 90, 80]);
    expect(makeRows([64, 90], false)).toEqual([64, 90]);
    expect(makeRows([], true)).toEqual([]);
  });
});
