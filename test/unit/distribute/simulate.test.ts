import { join } from 'node:path';
import { expect, it } from 'vitest';

type Simulate = (
  search: Record<string, number>,
  measured: Record<string, number | readonly number[]>,
  workers: number,
) => { readonly seconds: number; readonly busy: number };

const { simulate } = (await import(
  join(import.meta.dirname, '../../../bench/distribute/simulate.mjs')
)) as { simulate: Simulate };

const search = {
  ...{ sublayers: 10, removals: 2, sequences: 8, evaluationSeconds: 1, evaluated: 1, waves: 1 },
};
/** The original on a sequence, and the evaluations of two rounds. */
const each = 10 + 55 + 45;
const ideal = { spread: [1], queueSeconds: 0, reduceSeconds: 0 };

it('simulated workers share equal work equally, and pay for the way and the reduce', () => {
  for (const workers of [1, 2, 8]) {
    expect(simulate(search, ideal, workers)).toEqual({ seconds: (8 / workers) * each, busy: 1 });
  }
  const paying = { ...ideal, queueSeconds: 0.5, reduceSeconds: 0.01 };
  expect(simulate(search, paying, 8).seconds).toBeCloseTo(each + 3 * 0.5 + 8 * 0.01 * (10 + 9));
  const uneven = simulate(search, { ...ideal, spread: [0.5, 1, 1.5] }, 4);
  expect(uneven).toEqual(simulate(search, { ...ideal, spread: [0.5, 1, 1.5] }, 4));
  expect(uneven.busy).toBeLessThan(1);
});
