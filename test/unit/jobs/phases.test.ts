import { expect, it } from 'vitest';
import { unattended } from '../../../extension/core/jobs/job';
import type { StageProgress } from '../../../extension/core/jobs/job';
import { Phases } from '../../../extension/core/jobs/phases';
import { say } from '../../../extension/core/message';

const stage = say`Working`;

/** Runs two phases, the first twice as long as the second, with a clock that the test sets. */
async function runBoth(step: number): Promise<StageProgress[]> {
  const shown: StageProgress[] = [];
  let now = 0;
  const phases = new Phases(
    { first: { seconds: 20 }, second: { seconds: 10 } },
    (progress) => {
      shown.push(progress);
    },
    () => now,
  );
  for (const name of ['first', 'second'] as const) {
    await phases.run(name, unattended, async (context) => {
      for (const done of [0, 5, 2, 10]) {
        now += step;
        context.progress({ stage, done, total: 10, unit: 'sequences' });
      }
      return Promise.resolve();
    });
  }
  return shown;
}

it('shows one bar over all phases, weighted by expected time, that never decreases', async () => {
  const shown = await runBoth(5);
  expect(shown.map(({ done }) => done)).toEqual([0, 333, 333, 667, 667, 833, 833, 1000]);
  expect(new Set(shown.map(({ total, unit }) => `${total} ${unit}`))).toEqual(
    new Set(['1000 steps']),
  );
});

it('the time left includes later phases at the pace so far, and is reported only once it is known', async () => {
  const shown = await runBoth(5);
  expect(shown[0]?.secondsLeft).toBeUndefined();
  expect(shown[0]?.moreFollows).toBe(true);
  // After 10 s a third is done.
  expect(shown[1]?.secondsLeft).toBeCloseTo(20);
  // After 20 s two thirds are done.
  expect(shown[3]?.secondsLeft).toBeCloseTo(10);
});

it('a phase with a limit takes no longer than that', async () => {
  const shown: StageProgress[] = [];
  let now = 0;
  const phases = new Phases(
    { only: { seconds: 100, limit: 12 } },
    (progress) => {
      shown.push(progress);
    },
    () => now,
  );
  await phases.run('only', unattended, async (context) => {
    now = 10;
    context.progress({ stage, done: 1, total: 10, unit: 'sequences' });
    return Promise.resolve();
  });
  expect(shown[0]?.secondsLeft).toBeCloseTo(2, 9);
});

it('a phase that ends by its limit does not make later ones look slow', async () => {
  const shown: StageProgress[] = [];
  let now = 0;
  const phases = new Phases(
    { limited: { seconds: 100, limit: 100 }, later: { seconds: 10 } },
    (progress) => {
      shown.push(progress);
    },
    () => now,
  );
  await phases.run('limited', unattended, async (context) => {
    now = 50;
    context.progress({ stage, done: 1, total: 20, unit: 'sequences' });
    return Promise.resolve();
  });
  // By what is done, the pace would be ten times slower.
  expect(shown[0]?.secondsLeft).toBeCloseTo(60, 9);
});

it('a resumed job continues at its share, and saved work does not make the rest look fast', async () => {
  const shown: StageProgress[] = [];
  let now = 0;
  const phases = new Phases(
    { saved: { seconds: 40 }, partly: { seconds: 40 }, later: { seconds: 20 } },
    (progress) => {
      shown.push(progress);
    },
    () => now,
  );
  phases.skip('saved');
  await phases.run('partly', unattended, async (context) => {
    context.progress({ stage, done: 5, total: 10, unit: 'sequences' });
    now = 10;
    context.progress({ stage, done: 10, total: 10, unit: 'sequences' });
    return Promise.resolve();
  });
  expect(shown.map(({ done, moreFollows }) => [done, moreFollows])).toEqual([
    [600, false],
    [800, false],
  ]);
  expect(shown[0]?.secondsLeft).toBeUndefined();
  // 20 expected seconds took 10, and 20 are left.
  expect(shown[1]?.secondsLeft).toBeCloseTo(10);
});
