import { describe, expect, it } from 'vitest';
import { growth } from '../soak/measure';
import type { Measure } from '../soak/measure';

const one: Measure = {
  heapMegabytes: 140,
  rssMegabytes: 470,
  descriptors: 54,
  resources: 37,
  listeners: 20,
  processes: 5,
  childMegabytes: 1200,
};
const bounds: Measure = {
  ...{ heapMegabytes: 24, rssMegabytes: 96, descriptors: 8, resources: 16 },
  ...{ listeners: 8, processes: 1, childMegabytes: 256 },
};
/** Looks with these amounts of memory. */
const looks = (...sizes: readonly number[]): Measure[] =>
  sizes.map((rssMegabytes) => ({ ...one, rssMegabytes }));

describe('growth during a soak', () => {
  it('is visible in every later sample', () => {
    expect(growth(looks(400, 430, 460, 490, 520, 550, 580), bounds)).toEqual([
      'rssMegabytes grew by 120, more than 96',
    ]);
  });

  it('is not a single low or high look', () => {
    expect(growth(looks(313, 481, 476, 462, 484, 510, 453, 437, 446), bounds)).toEqual([]);
    expect(growth(looks(480, 470, 475, 470, 472, 471, 900), bounds)).toEqual([]);
  });

  it('is looked for in everything that is measured', () => {
    const more = { ...one, descriptors: 70, processes: 7 };
    expect(growth([one, one, one, more, more, more], bounds)).toEqual([
      'descriptors grew by 16, more than 8',
      'processes grew by 2, more than 1',
    ]);
  });
});
