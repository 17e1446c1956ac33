import { expect, it } from 'vitest';
import {
  relativeSquares,
  rootMeanSquare,
} from '../../../extension/core/linear-algebra/small-matrix';

it('compares squared differences with squared targets', () => {
  const wanted = Float32Array.of(3, 4);
  expect(relativeSquares(wanted, wanted)).toBe(0);
  expect(relativeSquares(new Float32Array(2), wanted)).toBe(1);
  expect(relativeSquares(Float32Array.of(3, 9), wanted)).toBe(1);
  expect(relativeSquares(Float32Array.of(2, 1), new Float32Array(2))).toBe(5);
});

it('returns the root mean square', () => {
  expect(rootMeanSquare(Float32Array.of(3, -4, 0, 0))).toBe(2.5);
  expect(rootMeanSquare(new Float32Array())).toBe(0);
});
