import { join } from 'node:path';
import { readdirSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import type { LayeredModel } from '../../../extension/core/models/layered-model';
import type { LinearLayer } from '../../../extension/core/models/matrix-encoding';
import { openModel } from '../../../extension/core/models/open-model';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { compressMatrix } from '../../../extension/core/tensornet/compress-matrix';
import { compressionMethods } from '../../../extension/core/tensornet/compression-methods';
import { MatrixProducts } from '../../../extension/core/linear-algebra/matrix-products';
import type { Rows } from '../../../extension/core/linear-algebra/matrix-source';
import { reconstruct } from '../../../extension/core/tensornet/reconstruct';
import { CalibrationPass } from '../../../extension/core/tensornet/statistics/calibration-pass';
import { fixture } from '../fixtures';

const products = new MatrixProducts('cpu', 0);
afterAll(async () => products.dispose());

const fixtures = join(import.meta.dirname, '../../fixtures');
const packed = readdirSync(join(fixtures, 'quantized')).filter((name) => /^(gptq|awq)/.test(name));
const paths = [
  ...['llama-gqa-untied', 'llama-bf16', 'llama-tied-f16', 'gpt2', 'qwen3-moe'].map((name) =>
    join('models', name),
  ),
  join('gguf', 'llama.gguf'),
  ...packed.map((name) => join('quantized', name)),
];

function listLayers(model: LayeredModel): readonly LinearLayer[] {
  return model.summary.sublayers.flatMap((_, index) => [...model.sublayer(index).linearLayers]);
}

function identity(size: number): Rows {
  const numbers = new Float32Array(size * size);
  for (let i = 0; i < size; i++) {
    numbers[i * size + i] = 1;
  }
  return { count: size, length: size, numbers };
}

describe('weights as they are stored', () => {
  it.each(paths)('in %s are read and multiplied alike', async (path) => {
    const layers = listLayers(await openModel(join(fixtures, path)));
    expect(layers.length).toBeGreaterThan(0);
    for (const layer of layers.slice(0, 8)) {
      const { out, in: inputs } = layer;
      const source = {
        kind: 'stored',
        tensor: layer.weight,
        transposed: layer.transposed,
      } as const;
      const whole = await products.read(source);
      expect([whole.count, whole.length]).toEqual([out, inputs]);
      expect(whole.numbers.some((x) => x !== 0)).toBe(true);
      // Row o of Wᵀ·eₒ is row o of W; row i of W·eᵢ its column i.
      const transposed = await products.applyTransposed(source, identity(out));
      expect(transposed.numbers.every((x, i) => x === whole.numbers[i])).toBe(true);
      const columns = await products.apply(source, identity(inputs));
      expect(
        columns.numbers.every((x, place) => {
          const [i, o] = [Math.floor(place / out), place % out];
          return x === whole.numbers[o * inputs + i];
        }),
      ).toBe(true);
    }
  });

  it('of grouped queries, normalized or not, are compressed from the weights that the model uses', async () => {
    for (const name of ['llama-gqa-untied', 'qwen3']) {
      const model = await openModel(fixture(name));
      const executor = new LayeredExecutor(model, 'cpu', 1 << 28);
      try {
        const inputs = [Int32Array.from({ length: 12 }, (_, i) => 3 * i + 1)];
        const pass = new CalibrationPass({ executor, products, inputs });
        const statistics = await pass.statistics(0);
        for (const layer of model.sublayer(0).linearLayers) {
          const seen = await statistics.get(layer.id);
          if (seen === undefined) {
            throw new Error(`${layer.id} was not tapped`);
          }
          const compress = async (setting: number, variant: string): Promise<number> => {
            const compression = { method: 'lowrank', setting, variant } as const;
            const found = await compressMatrix({ products, statistics: seen }, layer, compression);
            const back = await reconstruct(products, found.encoding);
            expect(back.numbers.every(Number.isFinite)).toBe(true);
            return found.outputError ?? Number.NaN;
          };
          const [setting = 1] = compressionMethods.lowrank.settings(layer).slice(1);
          expect(await compress(setting, 'covariance')).toBeLessThanOrEqual(
            (await compress(setting, 'plain')) + 1e-4,
          );
          // 12 tokens have 12 directions at most.
          expect(await compress(12, 'covariance')).toBeLessThan(2e-3);
        }
      } finally {
        await executor.dispose();
      }
    }
  });
});
