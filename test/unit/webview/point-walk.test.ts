import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { directions, nearestPlace, nextPlace } from '../../../webview/charts/point-walk';

const place = fc.record({ x: fc.integer({ min: 0, max: 6 }), y: fc.integer({ min: 0, max: 6 }) });

describe('a walk over the points of a chart', () => {
  it('moves to the nearest point in the direction of the key', () => {
    const places = [
      { x: 10, y: 10 },
      { x: 20, y: 12 },
      { x: 15, y: 40 },
      { x: 12, y: 2 },
      { x: 90, y: 10 },
    ];
    expect(directions.map((direction) => nextPlace(places, 0, direction))).toEqual([
      1,
      undefined,
      3,
      2,
    ]);
    expect(nextPlace(places, 1, 'ArrowRight')).toBe(4);
  });

  it('begins at the first point', () => {
    expect(nextPlace([{ x: 1, y: 1 }], -1, 'ArrowUp')).toBe(0);
    expect(nextPlace([], -1, 'ArrowUp')).toBeUndefined();
  });

  it('visits overlapping points one by one, to the right and back', () => {
    const covered = [0, 1, 2].map(() => ({ x: 5, y: 5 }));
    const places = [...covered, { x: 9, y: 5 }];
    expect([0, 1, 2].map((from) => nextPlace(places, from, 'ArrowRight'))).toEqual([1, 2, 3]);
    expect([1, 2].map((from) => nextPlace(places, from, 'ArrowLeft'))).toEqual([0, 1]);
  });

  it('can leave every point except the only one', () => {
    fc.assert(
      fc.property(fc.array(place, { minLength: 2, maxLength: 12 }), (places) => {
        places.forEach((_, from) => {
          const next = directions.map((direction) => nextPlace(places, from, direction));
          const reached = next.filter((one) => one !== undefined);
          expect(reached.length).toBeGreaterThan(0);
          expect(reached).not.toContain(from);
          // Each is in one direction alone.
          expect(new Set(reached).size).toBe(reached.length);
        });
      }),
    );
  });
});

describe('a click on a chart', () => {
  it('selects the nearest point within reach', () => {
    const places = [
      { x: 10, y: 10 },
      { x: 14, y: 10 },
    ];
    expect(nearestPlace(places, { x: 13, y: 11 }, 10)).toBe(1);
    expect(nearestPlace(places, { x: 30, y: 10 }, 10)).toBeUndefined();
    expect(nearestPlace([], { x: 0, y: 0 }, 10)).toBeUndefined();
  });
});
