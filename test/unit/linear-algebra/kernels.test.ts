import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../extension/core/data/random';
import {
  fitScales,
  reduceToTridiagonal,
  roundStep,
} from '../../../extension/core/linear-algebra/kernels';

/** Float32 numbers between −1 and 1. */
function randomFloats(count: number, seed: number): Float32Array {
  const random = seededRandom(seed);
  return Float32Array.from({ length: count }, () => 2 * random() - 1);
}

describe('rounding a step', () => {
  const steps = fc.record({
    step: fc.integer({ min: 1, max: 40 }),
    rows: fc.integer({ min: 1, max: 50 }),
    seed: fc.nat(1000),
    isEach: fc.boolean(),
    range: fc.constantFrom([0, 15] as const, [0, 255] as const, [-127, 127] as const),
  });

  it('processes inputs from last to first, each adjusted by the errors of those after it', () => {
    fc.assert(
      fc.property(steps, ({ step, rows, seed, isEach, range }) => {
        const count = step * rows;
        const weights = randomFloats(count, seed);
        const targets = randomFloats(count, seed + 1);
        const factors = randomFloats(step * step, seed + 2).map((x) => x / 4);
        const grids = isEach ? count : rows;
        const zero = range[0] < 0 ? 0 : (range[1] + 1) / 2;
        const zeros = new Float32Array(grids).fill(zero);
        // A fifth of the rows hold nothing but zeros.
        const scales = randomFloats(grids, seed + 3).map((x) =>
          x > 0.6 ? 0 : (1.1 + x) / (range[1] - zero),
        );
        const [errors, numbers] = [new Float32Array(count), new Uint8Array(count)];
        roundStep({
          ...{ step, rows, targets, weights, factors, scales, zeros, range, errors, numbers },
        });
        const integers = range[0] < 0 ? new Int8Array(numbers.buffer) : numbers;
        for (let row = 0; row < rows; row++) {
          for (let j = step - 1; j >= 0; j--) {
            const at = j * rows + row;
            const scale = scales[isEach ? at : row] ?? 0;
            let target = targets[at] ?? 0;
            for (let k = j + 1; k < step; k++) {
              target += (factors[j * step + k] ?? 0) * (errors[k * rows + row] ?? 0);
            }
            const q = (integers[at] ?? 0) - zero;
            const place = scale === 0 ? 0 : target / scale;
            const nearest = Math.max(range[0] - zero, Math.min(range[1] - zero, place));
            expect(Math.abs(q - nearest)).toBeLessThan(0.5 + 1e-4 * Math.max(1, Math.abs(place)));
            expect(errors[at]).toBeCloseTo((weights[at] ?? 0) - q * scale, 5);
          }
        }
      }),
    );
  });

  it('of a long matrix equals the result of each row alone', () => {
    const [step, rows] = [700, 1500];
    const weights = randomFloats(step * rows, 1);
    const factors = randomFloats(step * step, 2).map((x) => x / step);
    const scales = randomFloats(rows, 3).map((x) => 1.1 + x);
    const round = (from: number, to: number): Uint8Array => {
      const count = step * (to - from);
      const own = new Float32Array(count);
      for (let i = 0; i < step; i++) {
        own.set(weights.subarray(i * rows + from, i * rows + to), i * (to - from));
      }
      const numbers = new Uint8Array(count);
      roundStep({
        ...{ step, rows: to - from, targets: own, weights: own, factors },
        ...{ scales: scales.subarray(from, to), zeros: new Float32Array(to - from).fill(128) },
        ...{ range: [0, 255] as const, errors: new Float32Array(count), numbers },
      });
      return numbers;
    };
    const all = round(0, rows);
    for (const row of [0, 15, 16, 367, 368, 1499]) {
      expect(round(row, row + 1)).toEqual(all.filter((_, i) => i % rows === row));
    }
  });
});

describe('scales of blocks', () => {
  it('explain at least as much of the weights as the span of the block', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 70 }),
        fc.integer({ min: 1, max: 40 }),
        fc.boolean(),
        fc.nat(1000),
        (count, rows, isAsymmetric, seed) => {
          const values = randomFloats(count * rows, seed);
          const costs = Float64Array.from(randomFloats(count, seed + 1), (x) => 1.1 + x);
          const measureErrors = (searches: boolean): number[] => {
            const [scales, zeros] = [new Float32Array(rows), new Float32Array(rows)];
            fitScales({
              count,
              rows,
              values,
              costs,
              half: 8,
              isAsymmetric,
              searches,
              scales,
              zeros,
            });
            return Array.from(scales, (scale, row) => {
              const zero = zeros[row] ?? 0;
              let sum = 0;
              for (let i = 0; i < count; i++) {
                const x = values[i * rows + row] ?? 0;
                const q = Math.max(0, Math.min(15, Math.round(x / scale) + zero));
                sum += (costs[i] ?? 0) * (x - (q - zero) * scale) ** 2;
              }
              return sum;
            });
          };
          const plain = measureErrors(false);
          measureErrors(true).forEach((error, row) => {
            expect(error).toBeLessThanOrEqual((plain[row] ?? 0) * (1 + 1e-6) + 1e-12);
          });
        },
      ),
    );
  });
});

describe('the reduction to a tridiagonal matrix', () => {
  it('keeps the trace and the sum of squares, in rows that share memory or have their own', () => {
    for (const size of [1, 2, 3, 64, 129, 1030]) {
      const random = seededRandom(size);
      const numbers = new Float64Array(size * size);
      let [trace, squares] = [0, 0];
      for (let i = 0; i < size; i++) {
        for (let j = 0; j <= i; j++) {
          const x = random() - 0.5;
          numbers[i * size + j] = x;
          trace += i === j ? x : 0;
          squares += i === j ? x * x : 2 * x * x;
        }
      }
      const [off, factors] = [new Float64Array(size), new Float64Array(size)];
      reduceToTridiagonal(size, numbers, off, factors);
      const diagonal = numbers.filter((_, i) => i % (size + 1) === 0);
      const sum = (of: Float64Array): number => of.reduce((all, x) => all + x, 0);
      expect(sum(diagonal)).toBeCloseTo(trace, 9);
      const found = sum(diagonal.map((x) => x * x)) + 2 * sum(off.map((x) => x * x));
      expect(found / squares).toBeCloseTo(1, 11);
    }
  });
});
