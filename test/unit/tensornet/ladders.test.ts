import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  interpolate,
  buildLadders,
  measuredFirst,
  nextToMeasure,
} from '../../../extension/core/tensornet/sensitivity/ladders';

describe('ladders of settings', () => {
  it('are settings of one way to compress, by the errors of the outputs', () => {
    const ranks = [64, 8, 32].map((setting) => ({ method: 'lowrank', setting }) as const);
    const int4 = { method: 'int4', setting: 32 } as const;
    // Errors of outputs do not show what rounding the inputs does.
    const int8 = { method: 'int8', setting: 0 } as const;
    const makeRungs = (errors: readonly number[]) =>
      buildLadders([...ranks, int4, int8], errors).map(({ rungs }) => rungs);
    expect(makeRungs([0.1, 0.5, 0.2, 0.3, 0.3])).toEqual([
      [
        { place: 0, size: expect.closeTo(0.01) as number },
        { place: 2, size: expect.closeTo(0.04) as number },
        { place: 1, size: expect.closeTo(0.25) as number },
      ],
      [{ place: 3, size: expect.closeTo(0.09) as number }],
    ]);
    expect(makeRungs([])).toEqual([]);
  });

  const turn = 0.1;
  const ladder = { turn, rungs: [1, 2, 4, 8].map((size, place) => ({ place, size })) };
  const ends = (high: number, standardError?: number) =>
    new Map([
      [0, { distance: 3, ...(standardError === undefined ? {} : { standardError }) }],
      [3, { distance: high }],
    ]);

  it('are exact between measured settings if distances follow a power of the errors', () => {
    const sizes = fc.array(fc.double({ min: 0.01, max: 1, noNaN: true }), { minLength: 2 });
    fc.assert(
      fc.property(sizes, fc.double({ min: 0.2, max: 2, noNaN: true }), (found, power) => {
        const sorted = [...found].sort((a, b) => a - b).map((size, place) => ({ place, size }));
        const at = (size: number) => ({ distance: 5 * size ** power });
        const [low, high] = [sorted[0], sorted.at(-1)];
        const measured = new Map([low, high].map((one) => [one?.place ?? 0, at(one?.size ?? 0)]));
        const between = interpolate({ turn, rungs: sorted }, measured);
        expect(between.size).toBe(sorted.length - 2);
        for (const [place, { distance }] of between) {
          expect(distance).toBeCloseTo(at(sorted[place]?.size ?? 0).distance, 8);
        }
      }),
    );
  });

  it('have the uncertainty of measured ones, and of their spread in distance per error', () => {
    expect(interpolate(ladder, ends(24)).get(1)).toEqual({ distance: 6, standardError: 0 });
    const shares = [ends(24, 0.3), ends(48)].map((measured) => {
      const { distance = 0, standardError = 0 } = interpolate(ladder, measured).get(1) ?? {};
      return standardError / distance;
    });
    expect(shares).toEqual([expect.closeTo(0.2 / 3, 6), expect.closeTo(Math.log(2) / 3, 6)]);
  });

  it('beyond the measured range keep its proportion, with its typical deviation as uncertainty', () => {
    const one = new Map([[1, { distance: 6, standardError: 0.6 }]]);
    expect([...interpolate(ladder, one)].map(([place, { distance }]) => [place, distance])).toEqual(
      [
        [0, 3],
        [2, 12],
        [3, 24],
      ],
    );
    const error = interpolate(ladder, one).get(3)?.standardError ?? 0;
    expect(error / 24).toBeCloseTo(Math.hypot(0.1, turn * Math.log(4)), 8);
  });

  it('are measured first in the middle if that predicts the others precisely enough, otherwise at both ends', () => {
    expect(measuredFirst(ladder, 0.3)).toEqual([2]);
    expect(measuredFirst(ladder, 0.2)).toEqual([0, 3]);
    expect(measuredFirst({ ...ladder, rungs: ladder.rungs.slice(0, 1) }, 0.2)).toEqual([0]);
    expect(measuredFirst({ ...ladder, rungs: [] }, 0.2)).toEqual([]);
  });

  it('are measured in the middle of an uncertain range', () => {
    const between = interpolate(ladder, ends(48));
    expect(nextToMeasure(ladder, between, 0.3)).toEqual([]);
    expect(nextToMeasure(ladder, between, 0.1)).toEqual([2]);
    // A distance of zero has no logarithm.
    expect(nextToMeasure(ladder, interpolate(ladder, ends(0)), 1)).toEqual([2]);
  });
});
