import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chooseOptions } from '../../../extension/core/tensornet/budget/choose-options';
import { totals } from '../../../extension/core/tensornet/budget/budget-problem';
import type {
  BudgetProblem,
  LayerOption,
  PartChoice,
  PartState,
} from '../../../extension/core/tensornet/budget/budget-problem';
import { relaxedChoice } from '../../../extension/core/tensornet/budget/relaxed-choice';
import { randomRuns } from '../sample';

const number = fc.integer({ min: 0, max: 1000 }).map((value) => value / 10);
const option = fc.record({ costs: fc.tuple(number, number), loss: number });
const state = fc.record({
  costs: fc.tuple(number, number),
  loss: number,
  layers: fc.array(fc.array(option, { minLength: 1, maxLength: 3 }), { maxLength: 2 }),
});

/** Up to three parts of up to three states, including a cheap last one, under one limit or two. */
const problems: fc.Arbitrary<BudgetProblem> = fc
  .record({
    parts: fc.array(fc.array(state, { minLength: 1, maxLength: 3 }), {
      minLength: 1,
      maxLength: 3,
    }),
    shares: fc.array(fc.integer({ min: 0, max: 100 }), { minLength: 1, maxLength: 2 }),
  })
  .map(({ parts, shares }) => ({
    parts: parts.map((states) => ({ states })),
    limits: shares.map((share, limit) => {
      const most = ({ costs, layers }: PartState): number =>
        (costs[limit] ?? 0) +
        layers.reduce(
          (sum, one) => sum + Math.max(...one.map(({ costs: own }) => own[limit] ?? 0)),
          0,
        );
      const all = parts.reduce((sum, states) => sum + Math.max(...states.map(most)), 0);
      return (all * share) / 100;
    }),
  }));

const keeps = ({ limits }: BudgetProblem, costs: readonly number[], slack = 1e-9): boolean =>
  costs.every((cost, i) => cost <= (limits[i] ?? 0) + slack);

/** Smallest sum of losses by trying everything, or undefined where nothing fits. */
function bruteForce(problem: BudgetProblem): number | undefined {
  const listChoices = (states: readonly PartState[]): PartChoice[] =>
    states.flatMap(({ layers }, index) =>
      layers
        .reduce<number[][]>(
          (all, options) => all.flatMap((one) => options.map((_, i) => [...one, i])),
          [[]],
        )
        .map((options) => ({ state: index, options })),
    );
  let best: number | undefined;
  const visit = (taken: readonly PartChoice[]): void => {
    const part = problem.parts[taken.length];
    if (part === undefined) {
      const { costs, loss } = totals(problem, taken);
      if (keeps(problem, costs) && (best === undefined || loss < best)) {
        best = loss;
      }
      return;
    }
    listChoices(part.states).forEach((choice) => {
      visit([...taken, choice]);
    });
  };
  visit([]);
  return best;
}

/** A part of layers alone. */
const plain = (...layers: (readonly LayerOption[])[]): PartState => ({
  costs: [0],
  loss: 0,
  layers,
});
const removedState = (loss: number): PartState => ({ costs: [0], loss, layers: [] });

describe('chooseOptions', () => {
  it('finds the optimum of an exhaustive search', async () => {
    await fc.assert(
      fc.asyncProperty(problems, async (problem) => {
        const best = bruteForce(problem);
        if (best === undefined) {
          await expect(chooseOptions(problem)).rejects.toFailWith({
            code: 'limits-not-reachable',
            field: 'limits',
          });
          return;
        }
        const found = await chooseOptions(problem);
        const slack = Math.max(...problem.limits) * 1e-6 + 1e-6;
        expect(keeps(problem, found.costs, slack)).toBe(true);
        expect(found.loss).toBeCloseTo(best, 3);
      }),
      { numRuns: randomRuns(60, 15) },
    );
  });

  it('finds options without cost under a limit of 0', async () => {
    const parts = [
      { states: [plain([{ costs: [0], loss: 0 }])] },
      { states: [{ ...plain([{ costs: [3], loss: 0 }]), costs: [1] }, removedState(0)] },
    ];
    const found = await chooseOptions({ parts, limits: [0] });
    expect(found).toEqual({
      parts: [
        { state: 0, options: [0] },
        { state: 1, options: [] },
      ],
      costs: [0],
      loss: 0,
    });
  });

  it('reports limits that can be met one by one, but not together', async () => {
    const layer = [
      { costs: [8, 1], loss: 0 },
      { costs: [1, 8], loss: 0 },
    ];
    await expect(
      chooseOptions({ parts: [{ states: [{ ...plain(layer), costs: [0, 0] }] }], limits: [4, 4] }),
    ).rejects.toFailWith({ code: 'limits-not-reachable', field: 'limits' });
  });

  it('chooses among five thousand options of a large model in less than a second', async () => {
    const layersAt = (share: number, block: number): LayerOption[][] =>
      Array.from({ length: 3 }, (_, i) =>
        Array.from({ length: 7 }, (_, j) => ({
          costs: [(share * 100) / (j + 1) + ((block + i) % 7), share * (60 - j)],
          loss: j * j * (1 + (((3 * block + i) * 37) % 11)),
        })),
      );
    const parts = Array.from({ length: 64 }, (_, block) => ({
      states: [
        ...[1, 0.75, 0.5].map((share, s) => ({
          costs: [1, 1],
          loss: s * (40 + block),
          layers: layersAt(share, block),
        })),
        { costs: [0, 0], loss: 300 + block, layers: [] },
      ],
    }));
    const found = await chooseOptions({ parts, limits: [9000, 9500] }, 0.5);
    const [first = 0, second = 0] = found.costs;
    expect(Math.max(first / 9000, second / 9500)).toBeGreaterThan(0.99);
    expect(Math.max(first / 9000, second / 9500)).toBeLessThanOrEqual(1 + 1e-6);
  });

  it('has an answer near the best when the solver gets no time', async () => {
    const layers = Array.from({ length: 84 }, (_, i) =>
      Array.from({ length: 8 }, (_, j) => ({
        costs: [1000 * (8 - j)],
        loss: j * j * (1 + ((i * 37) % 84) / 84),
      })),
    );
    const problem = { parts: layers.map((one) => ({ states: [plain(one)] })), limits: [84 * 4500] };
    const hasty = await chooseOptions(problem, 0);
    expect(hasty.costs[0]).toBeLessThanOrEqual(problem.limits[0] ?? 0);
    const { loss } = await chooseOptions(problem);
    expect(hasty.loss).toBeLessThanOrEqual(loss * 1.03);
  });
});

describe('relaxedChoice', () => {
  it('keeps the limits, and is never better than the best', () => {
    fc.assert(
      fc.property(problems, (problem) => {
        const choice = relaxedChoice(problem);
        const best = bruteForce(problem);
        if (choice === undefined) return;
        const { costs, loss } = totals(problem, choice);
        expect(keeps(problem, costs)).toBe(true);
        expect(loss).toBeGreaterThanOrEqual((best ?? Number.NaN) - 1e-9);
      }),
    );
  });

  it('makes the same choice in any unit of cost', () => {
    // Ten layers that can be halved, each at a loss of its own.
    const problem = (unit: number): BudgetProblem => ({
      parts: Array.from({ length: 10 }, (_, i) => {
        const layer = [
          { costs: [unit], loss: 0 },
          { costs: [unit / 2], loss: 0.001 * (i + 1) },
        ];
        return { states: [{ costs: [0], loss: 0, layers: [layer] }] };
      }),
      limits: [7 * unit],
    });
    const small = relaxedChoice(problem(1));
    // The six cheapest ones, and no more.
    expect(small?.map(({ options: [option] }) => option)).toEqual([1, 1, 1, 1, 1, 1, 0, 0, 0, 0]);
    expect(relaxedChoice(problem(1e9))).toEqual(small);
  });
});
