import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { MatrixProducts } from '../../../extension/core/linear-algebra/matrix-products';
import { scaleGram } from '../../../extension/core/linear-algebra/symmetric-products';
import { randomRows } from '../tensornet/matrices';
import { randomRuns } from '../sample';

const products = new MatrixProducts('cpu', 0);
afterAll(async () => products.dispose());

describe('squares weighed by a Gram matrix', () => {
  it('equal float64, even with much larger single inputs', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 40 }),
        fc.nat(1000),
        fc.constantFrom(1, 1e3, 1e6),
        async (size, seed, largest) => {
          const inputs = randomRows(3 * size, size, seed);
          const rows = randomRows(4, size, seed + 1);
          for (let i = 0; i < inputs.count; i++) {
            inputs.numbers[i * size] = (inputs.numbers[i * size] ?? 0) * largest;
          }
          // A compression that was fitted to inputs has a small error on the largest of them.
          for (let i = 0; i < rows.count; i++) {
            rows.numbers[i * size] = (rows.numbers[i * size] ?? 0) / largest;
          }
          const gram = await products.gram({
            count: size,
            length: inputs.count,
            numbers: Float32Array.from(
              { length: inputs.numbers.length },
              (_, i) =>
                inputs.numbers[(i % inputs.count) * size + Math.floor(i / inputs.count)] ?? 0,
            ),
          });
          const found = await products.weighedSquares(rows, scaleGram(gram));
          const wanted = rows.numbers.reduce((sum, x, at) => {
            const [row, i] = [Math.floor(at / size), at % size];
            for (let j = 0; j < size; j++) {
              sum += x * (gram.numbers[i * size + j] ?? 0) * (rows.numbers[row * size + j] ?? 0);
            }
            return sum;
          }, 0);
          expect(Math.abs(found - wanted)).toBeLessThan(1e-4 * wanted);
        },
      ),
      { numRuns: randomRuns(40, 10) },
    );
  });

  it('are nothing over inputs that were never seen', async () => {
    const rows = randomRows(2, 3, 1);
    const gram = { size: 3, numbers: new Float64Array(9) };
    expect(await products.weighedSquares(rows, scaleGram(gram))).toBe(0);
  });
});
