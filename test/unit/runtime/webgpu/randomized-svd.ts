import { describe, expect, it } from 'vitest';
import { MatrixProducts } from '../../../../extension/core/linear-algebra/matrix-products';
import { randomizedSvd } from '../../../../extension/core/tensornet/randomized-svd';
import { missingGpu } from '../missing-gpu';
import { correlatedRows, randomRows, computeStatistics } from '../../tensornet/matrices';

describe('randomized SVD on WebGPU, which has no float64', () => {
  it('matches the CPU, if there is a Vulkan device', async (context) => {
    const missing = await missingGpu();
    context.skip(missing !== undefined, missing);
    const [cpu, gpu] = [new MatrixProducts('cpu', 0), new MatrixProducts('webgpu', 0)];
    try {
      const { gram } = computeStatistics(correlatedRows(80, 60, 20, 2));
      // The second is of a lower rank than asked for: its Gram matrices need the shift.
      for (const rows of [randomRows(90, 60, 1), correlatedRows(90, 60, 7, 3)]) {
        for (const weights of [undefined, { gram, damping: 1e-3 }]) {
          const source = { kind: 'numbers', name: 'matrix', rows } as const;
          const options = { rank: 12, seed: 0, ...(weights === undefined ? {} : { weights }) };
          const expected = await randomizedSvd(cpu, source, options);
          const found = await randomizedSvd(gpu, source, options);
          expect(Math.abs(found.error - expected.error)).toBeLessThan(1e-3 * expected.norm);
          const [largest = 1] = expected.singularValues;
          found.singularValues.forEach((value, i) => {
            expect(Math.abs(value - (expected.singularValues[i] ?? 0))).toBeLessThan(
              1e-3 * largest,
            );
          });
        }
      }
    } finally {
      await cpu.dispose();
      await gpu.dispose();
    }
  });
});
