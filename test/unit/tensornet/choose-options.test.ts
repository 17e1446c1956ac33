import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chooseOptions, totals } from '../../../extension/core/tensornet/budget/choose-options';
import type { BudgetProblem } from '../../../extension/core/tensornet/budget/budget-problem';
import { relaxedChoice } from '../../../extension/core/tensornet/budget/relaxed-choice';

const number = fc.integer({ min: 0, max: 1000 }).map((value) => value / 10);
const option = fc.record({ cost: number, loss: number });

/** Up to three sublayers of two layers each, and a layer that must stay. */
const problems: fc.Arbitrary<BudgetProblem> = fc
  .record({
    sublayers: fc.array(option, { maxLength: 3 }),
    options: fc.array(fc.array(option, { minLength: 1, maxLength: 4 }), {
      minLength: 7,
      maxLength: 7,
    }),
    share: fc.integer({ min: 0, max: 100 }),
  })
  .map(({ sublayers, options, share }) => {
    const layers = [
      ...sublayers.flatMap((_, sublayer) => [
        { options: options[2 * sublayer] ?? [], sublayer },
        { options: options[2 * sublayer + 1] ?? [], sublayer },
      ]),
      { options: options[6] ?? [] },
    ];
    const most =
      layers.reduce((sum, one) => sum + Math.max(...one.options.map(({ cost }) => cost)), 0) +
      sublayers.reduce((sum, { cost }) => sum + cost, 0);
    return { layers, sublayers, budget: (most * share) / 100 };
  });

/** Smallest sum of losses by trying everything, or undefined where nothing fits. */
function bruteForce(problem: BudgetProblem): number | undefined {
  const { layers, sublayers, budget } = problem;
  let best: number | undefined;
  for (let mask = 0; mask < 1 << sublayers.length; mask++) {
    const removed = sublayers.flatMap((_, i) => ((mask >> i) & 1 ? [i] : []));
    const visit = (options: readonly (number | undefined)[]): void => {
      const layer = layers[options.length];
      if (layer === undefined) {
        const { cost, loss } = totals(problem, options, removed);
        if (cost <= budget + 1e-9 && (best === undefined || loss < best)) {
          best = loss;
        }
        return;
      }
      if (layer.sublayer !== undefined && removed.includes(layer.sublayer)) {
        visit([...options, undefined]);
        return;
      }
      layer.options.forEach((_, i) => {
        visit([...options, i]);
      });
    };
    visit([]);
  }
  return best;
}

describe('chooseOptions', () => {
  it('finds what trying everything finds', async () => {
    await fc.assert(
      fc.asyncProperty(problems, async (problem) => {
        const best = bruteForce(problem);
        if (best === undefined) {
          await expect(chooseOptions(problem)).rejects.toThrow('above the budget');
          return;
        }
        const found = await chooseOptions(problem);
        expect(found.cost).toBeLessThanOrEqual(problem.budget * (1 + 1e-6) + 1e-6);
        expect(found.loss).toBeCloseTo(best, 3);
      }),
      { numRuns: 60 },
    );
  });

  it('takes nothing for nothing', async () => {
    const layers = [
      { options: [{ cost: 0, loss: 0 }] },
      { options: [{ cost: 3, loss: 0 }], sublayer: 0 },
    ];
    const found = await chooseOptions({ layers, sublayers: [{ cost: 1, loss: 0 }], budget: 0 });
    expect(found).toEqual({ options: [0, undefined], removed: [0], cost: 0, loss: 0 });
  });

  it('says what the smallest is where the budget is below it', async () => {
    const layers = [
      {
        options: [
          { cost: 8, loss: 0 },
          { cost: 5, loss: 1 },
        ],
      },
    ];
    await expect(chooseOptions({ layers, sublayers: [], budget: 4 })).rejects.toThrow(
      'The smallest that the measured options allow is 5.000, above the budget of 4.000.',
    );
  });

  it('chooses among two thousand options of a large model', async () => {
    const layers = Array.from({ length: 224 }, (_, i) => ({
      options: Array.from({ length: 10 }, (_, j) => ({
        cost: 100 / (j + 1) + (i % 7),
        loss: j * j * (1 + ((i * 37) % 11)),
      })),
      sublayer: i % 64,
    }));
    const sublayers = Array.from({ length: 64 }, (_, i) => ({ cost: 1, loss: 300 + i }));
    const found = await chooseOptions({ layers, sublayers, budget: 9000 });
    expect(found.cost).toBeLessThanOrEqual(9000.01);
    expect(found.cost).toBeGreaterThan(8900);
  });

  it('has an answer near the best when the solver gets no time', async () => {
    const layers = Array.from({ length: 84 }, (_, i) => ({
      options: Array.from({ length: 8 }, (_, j) => ({
        cost: 1000 * (8 - j),
        loss: j * j * (1 + ((i * 37) % 84) / 84),
      })),
    }));
    const problem = { layers, sublayers: [], budget: 84 * 4500 };
    const hasty = await chooseOptions(problem, 0);
    expect(hasty.cost).toBeLessThanOrEqual(problem.budget);
    const { loss } = await chooseOptions(problem);
    expect(hasty.loss).toBeLessThanOrEqual(loss * 1.03);
  });
});

describe('relaxedChoice', () => {
  it('keeps the budget, and is never better than the best', () => {
    fc.assert(
      fc.property(problems, (problem) => {
        const choice = relaxedChoice(problem);
        const best = bruteForce(problem);
        if (choice === undefined) return;
        const { cost, loss } = totals(problem, choice.options, choice.removed);
        expect(cost).toBeLessThanOrEqual(problem.budget + 1e-9);
        expect(loss).toBeGreaterThanOrEqual((best ?? Number.NaN) - 1e-9);
      }),
    );
  });
});
