import { expect, it } from 'vitest';
import { inEnglish } from '../../../extension/core/message';
import type { Message } from '../../../extension/core/message';
import { parseLimit } from '../../../extension/core/tensornet/budget/budget-limits';
import { planProblem } from '../../../extension/core/tensornet/budget/plan-under-budget';
import type { CompressionPlan } from '../../../extension/core/tensornet/budget/plan-under-budget';
import { refinePlan } from '../../../extension/core/tensornet/budget/refine-plan';
import { int8, makeLayer, makeTable } from '../webview/compression-fixture';

// Four layers of 1 ms; int8 halves each, at a distance of its own.
const losses = [0.1, 0.2, 0.4, 0.8];
const table = makeTable({
  layers: losses.map((loss, i) => ({
    ...makeLayer(Math.floor(i / 2), i % 2 === 0 ? 'down' : 'query', [
      { ...int8(loss), decodeMsPerToken: 0.5, prefillMsPerToken: 0.5 },
    ]),
    ...{ decodeMsPerToken: 1, prefillMsPerToken: 1 },
  })),
});
const warnings: string[] = [];
const context = {
  progress: () => undefined,
  warn: (message: Message) => void warnings.push(inEnglish(message)),
};

/** Plan whose compressed layers actually save this share of the model's time. */
async function refined(limit: string, saving: number, rounds = 3, firstShare?: number) {
  const tried: number[] = [];
  const problem = planProblem(table, { limits: [parseLimit(limit)] }, [], { isTimed: true });
  const measure = async ({ compress }: CompressionPlan) => {
    tried.push(compress.length);
    const own = 1 - saving * compress.length;
    const share = tried.length === 1 ? (firstShare ?? own) : own;
    return Promise.resolve({
      distance: compress.length,
      without: new Map<string, number>(),
      times: { decodeMsPerToken: share, prefillMsPerToken: share },
    });
  };
  return { plan: await refinePlan(problem, measure, rounds, context), tried };
}

it('changes less if the model is faster than planned, and more if it is slower', async () => {
  // Planned, a layer saves an eighth of the 4 ms: 75 % take two of them.
  const faster = await refined('decode<75%', 0.25);
  expect(faster.tried[0]).toBe(2);
  expect(faster.plan.compress).toHaveLength(1);
  expect(faster.plan.limits).toMatchObject([{ cost: 3, before: 4, most: 3 }]);
  const slower = await refined('decode<75%', 0.1);
  expect(slower.plan.compress).toHaveLength(3);
  expect(slower.plan.cost).toBeCloseTo(2.8, 10);
});

it('goes beyond the table, and reports limits that are out of reach', async () => {
  // By the table four layers leave half. All four leave a fifth, three are enough.
  const { plan, tried } = await refined('decode<40%', 0.2);
  expect([tried, plan.compress.length]).toEqual([[4, 3], 3]);
  expect(plan.limits[0]?.cost).toBeCloseTo(1.6, 10);
  await expect(refined('decode<40%', 0.05)).rejects.toThrow(
    /at least 3\.20 ms \(decode\).*1\.60 ms/,
  );
  expect(warnings).toEqual([]);
});

it('warns if no tried plan keeps the limit', async () => {
  const { plan, tried } = await refined('decode<75%', 0.01, 0);
  expect([tried, plan.compress.length]).toEqual([[2], 2]);
  expect(warnings).toEqual([
    'The plan takes 3.92 ms (decode), above the limit of 3.00 ms: no plan was found that meets it.',
  ]);
});

it('returns from a plan that a wrong time led to, also after the last round', async () => {
  // As planned, two layers leave 75 %; the first time says that they save nothing.
  const { plan, tried } = await refined('decode<75%', 0.125, 1, 0.99);
  expect(tried).toEqual([2, 4, 3]);
  expect(plan.compress).toHaveLength(3);
  // Nothing is chosen again unless requested.
  expect((await refined('decode<75%', 0.125, 0, 0.3)).tried).toEqual([2]);
});

it('corrects each kind of change by its own factor if removals cost more together than alone', async () => {
  const layers = losses.map((_, i) =>
    makeLayer(Math.floor(i / 2), i % 2 === 0 ? 'down' : 'query', [int8(0.03)]),
  );
  const removable = layers.map(({ sublayer }) => ({ sublayer, distance: 0.01 }));
  const problem = planProblem(
    makeTable({ layers }),
    { limits: [parseLimit('bytes<60%')] },
    removable,
  );
  const tried: (readonly number[])[] = [];
  // Alone a removal costs a third of what rounding does. Together removals cost eight times that, rounding does not.
  const planCost = (removed: number, rounded: number): number =>
    0.01 * removed * (removed > 1 ? 8 : 1) + 0.03 * rounded;
  const measure = async ({ compress, remove }: CompressionPlan) => {
    const [removed, rounded] = [remove.length, compress.length];
    tried.push([removed, rounded]);
    const without = new Map([
      ...remove.map((id) => [id, planCost(removed - 1, rounded)] as const),
      ...compress.map(({ tensor }) => [tensor, planCost(removed, rounded - 1)] as const),
    ]);
    return Promise.resolve({ distance: planCost(removed, rounded), without });
  };
  const plan = await refinePlan(problem, measure, 3, context);
  expect(tried).toEqual([
    [2, 0],
    [1, 2],
  ]);
  expect(plan.distance).toBeCloseTo(0.07, 10);
});

it('measures one plan, without undoing its changes, if its time is over', async () => {
  const problem = planProblem(table, { limits: [parseLimit('bytes<90%')] });
  const asked: boolean[] = [];
  const measure = async (_: CompressionPlan, inTurn: boolean) => {
    asked.push(inTurn);
    return Promise.resolve({ distance: 1, without: new Map<string, number>() });
  };
  await refinePlan(problem, measure, 3, context, { deadline: performance.now() - 1 });
  expect(asked).toEqual([false]);
});
