import * as v from 'valibot';
import { expect, it } from 'vitest';
import type {
  WorkerPool,
  WorkSetup,
  JobWorker,
} from '../../../extension/core/distribute/work-item';
import { PersistentEngine } from '../../../extension/core/distribute/persistent-engine';
import { unattended } from '../../../extension/core/jobs/job';
import { verbatim, inEnglish } from '../../../extension/core/message';

const makeSetup = (key: string): WorkSetup => ({ kind: 'any', key, files: {}, data: undefined });
const means = { probe: async () => Promise.resolve([]), warn: () => undefined };
const makeWorker = (title: string, act: JobWorker['do']): JobWorker => ({
  ...{ name: verbatim(title), do: act },
});

/** Notes who joins, retires and leaves. */
function makePool(): WorkerPool & { readonly told: string[]; readonly workers: JobWorker[] } {
  const [told, workers]: [string[], JobWorker[]] = [[], []];
  const note = (what: string, { name }: JobWorker) => told.push(`${what} ${inEnglish(name)}`);
  return {
    ...{ told, workers },
    join: (worker) => {
      note('join', worker);
      workers.push(worker);
    },
    retire: (worker) => note('retire', worker),
    leave: (worker) => note('leave', worker),
  };
}

it('finds workers once for jobs of one setup, which then run one work item after the other', async () => {
  const hired: string[] = [];
  let workerPool: WorkerPool | undefined;
  const begun: string[] = [];
  let end: () => void = () => undefined;
  const slow = makeWorker('slow', async ({ key }) => {
    begun.push(key);
    await new Promise<void>((resolve) => (end = resolve));
    return key;
  });
  const lostWorker = makeWorker('gone', async () => Promise.resolve());
  const standing = new PersistentEngine({
    memoryShare: 1,
    addWorkers: async ({ key }, pool) => {
      hired.push(key);
      workerPool = pool;
      [slow, lostWorker].forEach((worker) => {
        pool.join(worker);
      });
      return Promise.resolve(async () => {
        hired.push(`end ${key}`);
        return Promise.resolve();
      });
    },
  });
  const [first, second, third] = [makePool(), makePool(), makePool()];
  const inform = (): void => undefined;
  const release = await standing.addWorkers(makeSetup('a'), first, { ...means, inform });
  const piece = { lane: 0, cost: 1, request: 0, result: v.string() };
  const asked = first.workers[0]?.do({ ...piece, key: 'one' }, unattended);
  workerPool?.retire(lostWorker);
  await release();
  workerPool?.leave(lostWorker, 'It ended.');

  await standing.addWorkers(makeSetup('a'), second, { ...means, inform });
  const next = second.workers[0]?.do({ ...piece, key: 'two' }, unattended);
  await Promise.resolve();
  expect(begun).toEqual(['one']);
  end();
  expect(await asked).toBe('one');
  await expect.poll(() => begun).toEqual(['one', 'two']);
  end();
  expect(await next).toBe('two');

  await standing.addWorkers(makeSetup('b'), third, { ...means, inform });
  await standing.end();
  expect(hired).toEqual(['a', 'end a', 'b', 'end b']);
  expect(first.told).toEqual(['join slow', 'join gone', 'retire gone']);
  expect(second.told).toEqual(['join slow']);
  expect(third.told).toEqual(['join slow', 'join gone']);
});
