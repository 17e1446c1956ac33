import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  placeIn,
  groupIndices,
  sum,
} from '../../../../extension/core/models/onnx/heads/group-places';
import type { GroupPlace } from '../../../../extension/core/models/onnx/heads/group-places';
import { randomRuns } from '../../sample';

const product = (sizes: readonly number[]): number => sizes.reduce((all, size) => all * size, 1);

/** Numbers of a shape, by their places in memory, that a group has along an axis. */
function listOwn(shape: readonly number[], { axis, parts }: GroupPlace, group: number): number[] {
  const own = shape.length + axis;
  const places = new Set(groupIndices((shape[own] ?? 0) / sum(parts), parts)([group]));
  const behind = product(shape.slice(own + 1));
  return Array.from({ length: product(shape) }, (_, i) => i).filter((i) =>
    places.has(Math.floor(i / behind) % (shape[own] ?? 1)),
  );
}

describe('places of heads in another shape', () => {
  const size = fc.integer({ min: 1, max: 4 });

  it('contain the same numbers for each group', () => {
    fc.assert(
      fc.property(
        fc.record({
          groups: fc.integer({ min: 2, max: 4 }),
          repeats: fc.integer({ min: 1, max: 3 }),
          length: fc.integer({ min: 1, max: 4 }),
          before: fc.array(size, { maxLength: 2 }),
          behind: fc.array(size, { maxLength: 2 }),
          cuts: fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 4 }),
        }),
        ({ groups, repeats, length, before, behind, cuts }) => {
          const parts = Array.from({ length: repeats }, () => length);
          const from = [...before, groups * sum(parts), ...behind];
          const place: GroupPlace = { axis: -1 - behind.length, parts };
          // Sizes that the same numbers may have.
          let left = product(from);
          const to = cuts.filter((cut) => {
            const fits = left % cut === 0;
            left /= fits ? cut : 1;
            return fits;
          });
          const shape = [left, ...to];
          const found = placeIn(from, place, shape, groups);
          if (found !== undefined) {
            for (let group = 0; group < groups; group++) {
              expect(listOwn(shape, found, group)).toEqual(listOwn(from, place, group));
            }
          }
        },
      ),
      { numRuns: randomRuns(2000, 500) },
    );
  });

  it("are found for each exporter's way to split and join them", () => {
    const rows: GroupPlace = { axis: -1, parts: [8] };
    const heads: GroupPlace = { axis: -2, parts: [2] };
    expect(placeIn(['b', 's', 16], rows, ['b', 's', 4, 4], 2)).toEqual(heads);
    expect(placeIn(['b', 's', 4, 4], heads, ['b', 's', 16], 2)).toEqual(rows);
    expect(placeIn(['b', 's', 48], { axis: -1, parts: [4, 4, 4] }, ['b', 's', 3, 4, 4], 4)).toEqual(
      {
        ...{ axis: -2, parts: [1] },
      },
    );
    // A name that can only be the other one.
    const [repeated, joined] = [
      ['b', 2, 2, '?1', 4],
      ['b', 4, 's', 4],
    ] as const;
    expect(placeIn(repeated, { axis: -4, parts: [1] }, joined, 2)).toEqual({
      axis: -3,
      parts: [2],
    });
    // Heads next to the positions of a text.
    expect(placeIn(['b', 's', 16], rows, ['b', '?2', 4], 2)).toEqual({
      ...{ axis: -2, parts: [2], isOpen: true },
    });
  });

  it('are refused if an axis would cut a group, or sizes are unknown', () => {
    const rows: GroupPlace = { axis: -1, parts: [6] };
    expect(placeIn(['s', 12], rows, ['s', 3, 4], 2)).toBeUndefined();
    expect(placeIn(['s', 12], { axis: -1, parts: [4, 2] }, ['s', 2, 6], 2)).toBeUndefined();
    expect(placeIn(['a', 4, 'b'], { axis: -2, parts: [2] }, ['c', 'd'], 2)).toBeUndefined();
  });
});
