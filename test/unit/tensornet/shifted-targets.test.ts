import { afterAll, describe, expect, it } from 'vitest';
import { MatrixProducts } from '../../../extension/core/linear-algebra/matrix-products';
import type { Rows } from '../../../extension/core/linear-algebra/matrix-source';
import { ShiftedTargets } from '../../../extension/core/tensornet/quantize/shifted-targets';
import { computeStatistics, correlatedRows, randomRows } from './matrices';

const products = new MatrixProducts('cpu', 0);
afterAll(async () => products.dispose());

const size = 24;
const original = correlatedRows(2000, size, 12, 1);
const noise = randomRows(2000, size, 2);
/** The original's inputs, scaled and with noise. */
const inputs: Rows = {
  ...original,
  numbers: original.numbers.map((x, i) => 0.8 * x + 0.1 * (noise.numbers[i] ?? 0)),
};
const changes: Rows = {
  ...original,
  numbers: original.numbers.map((x, i) => x - (inputs.numbers[i] ?? 0)),
};
const { gram } = computeStatistics(inputs);
const shift = { inputs: await products.float32CrossBetween(inputs, changes) };

/** Σ (W·x₀ + share·s − W₂·x)² over the rows, for the full change W₂ = W + 2·(W′ − W), as W′ has half of it. */
async function squaredError(
  weights: Rows,
  found: Rows,
  stream?: { readonly rows: Rows; readonly share: number },
): Promise<number> {
  const outputs = async (rows: Rows, matrix: Rows): Promise<Float32Array> =>
    (await products.apply({ kind: 'numbers', name: 'weights', rows: matrix }, rows)).numbers;
  const changed: Rows = {
    ...found,
    numbers: found.numbers.map((target, i) => 2 * target - (weights.numbers[i] ?? 0)),
  };
  const [wanted, got] = [await outputs(original, weights), await outputs(inputs, changed)];
  return wanted.reduce((sum, y, i) => {
    const target = y + (stream === undefined ? 0 : stream.share * (stream.rows.numbers[i] ?? 0));
    return sum + (target - (got[i] ?? 0)) ** 2;
  }, 0);
}

describe('targets for inputs that differ from those of the original', () => {
  it.each([8, 40])(
    'are halfway to weights that give nearly the outputs of the original, for %d rows',
    async (rows) => {
      const weights = randomRows(rows, size, 3);
      const targets = await ShiftedTargets.fit(products, { gram, shift });
      const found = await targets?.shifted(weights, 0);
      const before = await squaredError(weights, weights);
      expect(await squaredError(weights, found ?? expect.fail())).toBeLessThan(0.3 * before);
    },
  );

  it('are the same for all rows and for parts, whichever side is solved', async () => {
    const weights = randomRows(40, size, 3);
    const targets = (await ShiftedTargets.fit(products, { gram, shift })) ?? expect.fail();
    const whole = await targets.shifted(weights, 0);
    const part = { count: 10, length: size, numbers: weights.numbers.slice(0, 10 * size) };
    const { numbers } = await targets.shifted(part, 0);
    numbers.forEach((value, i) => {
      expect(value).toBeCloseTo(whole.numbers[i] ?? 0, 4);
    });
  });

  it('are halfway to weights that correct half of the error of the stream', async () => {
    const weights = randomRows(8, size, 3);
    // What inputs can predict of the stream's error.
    const stream = await products.apply(
      { kind: 'numbers', name: 'stream', rows: randomRows(8, size, 4) },
      inputs,
    );
    const both = { ...shift, stream: await products.float32CrossBetween(inputs, stream) };
    const targets = (await ShiftedTargets.fit(products, { gram, shift: both })) ?? expect.fail();
    const plain = (await ShiftedTargets.fit(products, { gram, shift })) ?? expect.fail();
    const found = await targets.shifted(weights, 0);
    const wanted = { rows: stream, share: 0.5 };
    const without = await squaredError(weights, await plain.shifted(weights, 0), wanted);
    expect(await squaredError(weights, found, wanted)).toBeLessThan(0.3 * without);
    // Parts of the rows find their columns.
    const part = { count: 3, length: size, numbers: weights.numbers.slice(5 * size) };
    const { numbers } = await targets.shifted(part, 5);
    numbers.forEach((value, i) => {
      expect(value).toBeCloseTo(found.numbers[5 * size + i] ?? 0, 4);
    });
  });

  it('are not computed without the original model', async () => {
    expect(await ShiftedTargets.fit(products, { gram })).toBeUndefined();
  });
});
