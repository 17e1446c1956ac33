import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { unattended } from '../../../extension/core/jobs/job';
import { openModel } from '../../../extension/core/models/open-model';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { rankForRatio } from '../../../extension/core/tensornet/low-rank';
import { MatrixProducts } from '../../../extension/core/linear-algebra/matrix-products';
import { planRanks, allocateRanks } from '../../../extension/core/tensornet/plan-ranks';
import { CalibrationPass } from '../../../extension/core/tensornet/statistics/calibration-pass';
import { fixture } from '../fixtures';

const products = new MatrixProducts('cpu', 0);
afterAll(async () => products.dispose());

const layers = fc
  .array(
    fc.record({
      out: fc.integer({ min: 4, max: 500 }),
      in: fc.integer({ min: 4, max: 500 }),
      importance: fc.double({ min: 0, max: 10, noNaN: true }),
    }),
    { minLength: 1, maxLength: 8 },
  )
  .map((all) => all.map((layer, i) => ({ ...layer, id: `layer ${i}` })));

describe('ranks under a budget', () => {
  it('keep to it, to their floors, and leave less than one rank over', () => {
    fc.assert(
      fc.property(layers, fc.double({ min: 0.3, max: 1, noNaN: true }), (all, ratio) => {
        const total = all.reduce((sum, layer) => sum + layer.out * layer.in, 0);
        const least = all.reduce((sum, layer) => sum + layer.out + layer.in, 0);
        const budget = Math.max(least, ratio * total);
        const ranks = allocateRanks(all, budget);
        let spent = 0;
        for (const { id, out, in: inputs } of all) {
          const rank = ranks.get(id) ?? 0;
          const equal = (Math.min(1, budget / total) * out * inputs) / (out + inputs);
          const most = Math.max(1, Math.floor((out * inputs) / (out + inputs)));
          expect(rank).toBeGreaterThanOrEqual(Math.max(1, Math.floor(0.5 * equal)));
          expect(rank).toBeLessThanOrEqual(most);
          spent += rank * (out + inputs);
        }
        expect(spent).toBeLessThanOrEqual(budget);
        for (const { id, out, in: inputs } of all) {
          const isFull =
            (ranks.get(id) ?? 0) === Math.max(1, Math.floor((out * inputs) / (out + inputs)));
          expect(isFull || budget - spent < out + inputs).toBe(true);
        }
      }),
    );
  });

  it('follow importance among matrices of one size, and are equal for equal importance', () => {
    const of = (importances: number[]): number[] => [
      ...allocateRanks(
        importances.map((importance, i) => ({ id: `${i}`, out: 100, in: 300, importance })),
        0.4 * importances.length * 30_000,
      ).values(),
    ];
    expect(of([1, 1, 1])).toEqual([30, 30, 30]);
    const [low = 0, middle = 0, high = 0] = of([0, 1, 3]);
    expect([low, middle, high]).toEqual([15, 26, 49]);
  });

  it('refuse a budget that has no rank 1 for each, saying so', () => {
    const two = ['a', 'b'].map((id) => ({ id, out: 10, in: 10, importance: 1 }));
    expect(() => allocateRanks(two, 39)).toFailWith({ code: 'rank-budget-too-small' });
    expect([...allocateRanks(two, 40).values()]).toEqual([1, 1]);
  });
});

describe('ranks of a model', () => {
  it('are given to the layers with the largest output error, within the budget', async () => {
    const model = await openModel(fixture('llama-gqa-untied'));
    const layers = model.summary.sublayers.flatMap((_, i) => [...model.sublayer(i).linearLayers]);
    const choices = layers.map((layer) => {
      const setting = rankForRatio(layer, 0.5);
      return { layer, choice: { tensor: layer.id, method: 'lowrank' as const, setting } };
    });
    const executor = new LayeredExecutor(model, 'cpu', 1 << 28);
    try {
      const inputs = [Int32Array.from({ length: 40 }, (_, i) => (7 * i) % 60)];
      const calibration = new CalibrationPass({ executor, products, inputs });
      const calibrated = await planRanks({ choices, products, calibration }, unattended);
      const plain = await planRanks({ choices, products }, unattended);
      const spent = (planned: readonly { setting: number }[]): number =>
        planned.reduce(
          (sum, { setting }, i) => sum + setting * ((layers[i]?.out ?? 0) + (layers[i]?.in ?? 0)),
          0,
        );
      const budget = spent(choices.map(({ choice }) => choice));
      for (const planned of [calibrated, plain]) {
        expect(planned.map(({ tensor }) => tensor)).toEqual(layers.map(({ id }) => id));
        expect(spent(planned)).toBeLessThanOrEqual(budget);
        expect(spent(planned)).toBeGreaterThan(0.9 * budget);
      }
      expect(calibrated).not.toEqual(plain);
    } finally {
      await executor.dispose();
    }
  });
});
