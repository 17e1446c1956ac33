import { join } from 'node:path';
import { expect, it } from 'vitest';
import {
  floatsToHalves,
  halfToNumber,
  halvesToFloats,
  numberToHalf,
} from '../../../extension/core/checkpoints/half';
import { readNpz } from '../../../extension/core/data/npz';

it('every float16 decodes to its number', () => {
  for (let half = 0; half < 0x1_0000; half++) {
    const number = halfToNumber(half);
    if (Number.isNaN(number)) {
      expect(half & 0x7fff).toBeGreaterThan(0x7c00);
    } else {
      expect(numberToHalf(number)).toBe(half);
    }
  }
  expect([0x3c00, 0xc000, 0x3555, 0x7bff, 1].map(halfToNumber)).toEqual([
    1,
    -2,
    0.333251953125,
    65504,
    2 ** -24,
  ]);
});

it('float32 numbers are rounded as numpy rounds them', async () => {
  const golden = await readNpz(join(import.meta.dirname, '../../fixtures/examples/half.npz'));
  const numbers = golden.get('numbers')?.data as Float32Array;
  const halves = golden.get('halves')?.data as Uint16Array;
  expect(numbers.length).toBeGreaterThan(4000);
  expect(Array.from(numbers, numberToHalf)).toEqual([...halves]);
  expect(floatsToHalves(numbers)).toEqual(halves);
});

it('converts an array like single numbers', () => {
  const halves = Uint16Array.from({ length: 0x1_0000 }, (_, half) => half);
  expect(halvesToFloats(halves)).toEqual(Float32Array.from(halves, halfToNumber));
});
