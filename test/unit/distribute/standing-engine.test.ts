import * as v from 'valibot';
import { expect, it } from 'vitest';
import type { Crew, PieceSetup, PieceWorker } from '../../../extension/core/distribute/piece';
import { StandingEngine } from '../../../extension/core/distribute/standing-engine';
import { unattended } from '../../../extension/core/jobs/job';
import { verbatim, inEnglish } from '../../../extension/core/message';

const setupOf = (key: string): PieceSetup => ({ kind: 'any', key, files: {}, data: undefined });
const means = { probe: async () => Promise.resolve([]), warn: () => undefined };
const workerOf = (title: string, act: PieceWorker['do']): PieceWorker => ({
  ...{ name: verbatim(title), do: act },
});

/** Notes who joins, retires and leaves. */
function crewOf(): Crew & { readonly told: string[]; readonly workers: PieceWorker[] } {
  const [told, workers]: [string[], PieceWorker[]] = [[], []];
  const note = (what: string, { name }: PieceWorker) => told.push(`${what} ${inEnglish(name)}`);
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

it('finds workers once for jobs of one setup, which then do one piece after the other', async () => {
  const hired: string[] = [];
  let outer: Crew | undefined;
  const begun: string[] = [];
  let end: () => void = () => undefined;
  const slow = workerOf('slow', async ({ key }) => {
    begun.push(key);
    await new Promise<void>((resolve) => (end = resolve));
    return key;
  });
  const gone = workerOf('gone', async () => Promise.resolve());
  const standing = new StandingEngine({
    memoryShare: 1,
    hire: async ({ key }, crew) => {
      hired.push(key);
      outer = crew;
      [slow, gone].forEach((worker) => {
        crew.join(worker);
      });
      return Promise.resolve(async () => {
        hired.push(`end ${key}`);
        return Promise.resolve();
      });
    },
  });
  const [first, second, third] = [crewOf(), crewOf(), crewOf()];
  const inform = (): void => undefined;
  const release = await standing.hire(setupOf('a'), first, { ...means, inform });
  const piece = { lane: 0, cost: 1, request: 0, result: v.string() };
  const asked = first.workers[0]?.do({ ...piece, key: 'one' }, unattended);
  outer?.retire(gone);
  await release();
  outer?.leave(gone, 'It ended.');

  await standing.hire(setupOf('a'), second, { ...means, inform });
  const next = second.workers[0]?.do({ ...piece, key: 'two' }, unattended);
  await Promise.resolve();
  expect(begun).toEqual(['one']);
  end();
  expect(await asked).toBe('one');
  await expect.poll(() => begun).toEqual(['one', 'two']);
  end();
  expect(await next).toBe('two');

  await standing.hire(setupOf('b'), third, { ...means, inform });
  await standing.end();
  expect(hired).toEqual(['a', 'end a', 'b', 'end b']);
  expect(first.told).toEqual(['join slow', 'join gone', 'retire gone']);
  expect(second.told).toEqual(['join slow']);
  expect(third.told).toEqual(['join slow', 'join gone']);
});
