import * as v from 'valibot';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Dispatcher } from '../../../extension/core/distribute/dispatcher';
import type { WorkItem, JobWorker } from '../../../extension/core/distribute/work-item';
import { WorkerLostError } from '../../../extension/core/jobs/child-task';
import { CancelledError } from '../../../extension/core/jobs/job';
import type { WorkerProgress } from '../../../extension/core/jobs/job';
import { inEnglish, verbatim } from '../../../extension/core/message';

const piece = (key: string, more: Partial<WorkItem> = {}): WorkItem => ({
  ...{ key, lane: 0, cost: 1, request: key, result: v.unknown() },
  ...more,
});

/** A worker that keeps a list of what it has begun. */
function worker(
  title: string,
  act: JobWorker['do'] = ({ key }) => Promise.resolve(`${key} by ${title}`),
): JobWorker & { readonly begun: string[] } {
  const begun: string[] = [];
  return {
    ...{ name: verbatim(title), begun },
    do: async (one, job) => {
      begun.push(one.key);
      return act(one, job);
    },
  };
}

/** Resolves to the result after a time on the clock of fake timers. */
const after = async (milliseconds: number, result: string): Promise<string> =>
  new Promise((resolve) => {
    setTimeout(resolve, milliseconds, result);
  });
const never = async (): Promise<never> => new Promise(() => undefined);
const lost = async (): Promise<never> => Promise.reject(new WorkerLostError('It ended.'));

describe('pieces', () => {
  const losses: string[] = [];
  const progress: (readonly WorkerProgress[])[] = [];
  /** Runs in this process until the test ends. */
  let pending: Promise<void>;
  let release: () => void;
  const cancellation = { isCancellationRequested: false };
  const ends: (() => Promise<void>)[] = [];
  const dispatcher = (home: JobWorker): Dispatcher => {
    const made = new Dispatcher(
      home,
      { cancellation },
      {
        lost: ({ name }, why) => losses.push(`${inEnglish(name)}: ${why}`),
        changed: (workers) => progress.push(workers),
      },
    );
    ends.push(async () => made.end());
    return made;
  };

  beforeEach(() => {
    pending = new Promise((resolve) => (release = resolve));
  });

  afterEach(async () => {
    vi.useRealTimers();
    release();
    await Promise.all(ends.splice(0).map(async (end) => end()));
    losses.length = 0;
    cancellation.isCancellationRequested = false;
  });

  it('of a worker that is lost are done by another', async () => {
    const pieces = dispatcher(worker('home', async () => pending));
    pieces.add(piece('kept here', { home: true }));
    pieces.join(worker('weak', lost));
    const { result } = pieces.add(piece('a'));
    pieces.join(worker('strong'));
    expect(await result).toBe('a by strong');
    expect(losses).toEqual([expect.stringMatching(/^weak: .*It ended\.$/)]);
  });

  it('of a worker that leaves are done by another, and its late answer changes nothing', async () => {
    const pieces = dispatcher(worker('home', async () => pending));
    pieces.add(piece('kept here', { home: true }));
    let answer: (result: string) => void = () => undefined;
    const lostWorker = worker('gone', async () => new Promise((resolve) => (answer = resolve)));
    pieces.join(lostWorker);
    const { result } = pieces.add(piece('a'));
    pieces.join(worker('other'));
    pieces.leave(lostWorker, 'It is silent.');
    expect(await result).toBe('a by other');
    answer('late');
    expect(await result).toBe('a by other');
  });

  it("that fail three times are reported with each worker's message", async () => {
    const pieces = dispatcher(worker('home', async () => pending));
    pieces.add(piece('kept here', { home: true }));
    let tries = 0;
    const broken = async (): Promise<never> => Promise.reject(new Error(`broken ${++tries}`));
    pieces.join(worker('one', broken));
    pieces.join(worker('two', broken));
    const { result } = pieces.add(piece('poisoned'));
    const error = await result.catch((reason: unknown) => String(reason));
    expect(error).toMatch(/failed 3 times.*one: .*broken 1[^]*two: .*broken 2[^]*broken 3/);
    expect(tries).toBe(3);
  });

  it('stay with the worker of their lane, unless another has nothing to do', async () => {
    vi.useFakeTimers();
    const pieces = dispatcher(worker('home', async () => pending));
    pieces.add(piece('kept here', { home: true }));
    const slow = async ({ key }: WorkItem): Promise<string> => after(5, key);
    const [left, right] = [worker('left', slow), worker('right', slow)];
    pieces.join(left);
    pieces.join(right);
    const rounds = async (lanes: readonly number[], round: number): Promise<void> => {
      const results = lanes.map(
        async (lane) => pieces.add(piece(`${lane}.${round}`, { lane })).result,
      );
      await vi.advanceTimersByTimeAsync(5);
      await Promise.all(results);
    };
    await rounds([1, 2], 1);
    await rounds([2, 1], 2);
    expect(left.begun).toEqual(['1.1', '1.2']);
    expect(right.begun).toEqual(['2.1', '2.2']);
    await rounds([2, 2], 3);
    expect(left.begun).toContain('2.3');
    expect(right.begun).toContain('2.3');
  });

  it('that nobody needs yet are scheduled last, and are dropped', async () => {
    const one = worker('one');
    const pieces = dispatcher(one);
    const first = pieces.add(piece('first'));
    const ahead = pieces.add(piece('ahead'), { isAhead: true });
    const dropped = pieces.add(piece('dropped'), { isAhead: true });
    const wanted = pieces.add(piece('wanted'), { isAhead: true });
    const last = pieces.add(piece('last'));
    wanted.want();
    dropped.drop();
    await Promise.all([first, wanted, last, ahead].map(async ({ result }) => result));
    await pieces.end();
    expect(one.begun).toEqual(['first', 'wanted', 'last', 'ahead']);
  });

  it('that are far slower than others are also given to a second worker, and count once', async () => {
    vi.useFakeTimers();
    const pieces = dispatcher(worker('home', async ({ key }) => (key === 'usual' ? key : pending)));
    await pieces.add(piece('usual')).result;
    pieces.add(piece('kept here', { home: true }));
    pieces.join(worker('hung', never));
    const { result } = pieces.add(piece('slow'));
    const second = worker('second');
    pieces.join(second);
    await vi.advanceTimersByTimeAsync(4900);
    expect(second.begun).toEqual([]);
    await vi.advanceTimersByTimeAsync(300);
    expect(await result).toBe('slow by second');
  });

  it('that have ended a process are not run in this one, even if another is slow', async () => {
    vi.useFakeTimers();
    const home = worker('home', async ({ key }) => (key === 'usual' ? key : pending));
    const pieces = dispatcher(home);
    await pieces.add(piece('usual')).result;
    const busy = pieces.add(piece('kept here', { home: true }));
    const other = worker('other', async () => {
      // The first process is there; each new one takes long to start on a busy machine.
      const milliseconds = other.begun.length === 1 ? 0 : 20_000;
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
      return lost();
    });
    pieces.join(other);
    const poisoned = pieces.add(piece('poisoned')).result;
    const ended = expect(poisoned).rejects.toFailWith({ code: 'work-item-failed' });
    await vi.advanceTimersByTimeAsync(100);
    release();
    await busy.result;
    await vi.advanceTimersByTimeAsync(41_000);
    await ended;
    expect(home.begun).toEqual(['usual', 'kept here']);
  });

  it('of a worker that hangs from the first one on are done by another', async () => {
    vi.useFakeTimers();
    const pieces = dispatcher(worker('home', async () => pending));
    pieces.add(piece('kept here', { home: true }));
    pieces.join(worker('hung', never));
    const { result } = pieces.add(piece('first'));
    const second = worker('second');
    pieces.join(second);
    await vi.advanceTimersByTimeAsync(119_000);
    expect(second.begun).toEqual([]);
    await vi.advanceTimersByTimeAsync(1500);
    expect(await result).toBe('first by second');
  });

  it('are counted by who has done them', async () => {
    vi.useFakeTimers();
    const pieces = dispatcher(worker('home', async ({ key }) => after(1, key)));
    pieces.join(worker('other', async ({ key }) => after(20, key)));
    const all = ['a', 'b', 'c'].map(async (key) => pieces.add(piece(key)).result);
    await vi.advanceTimersByTimeAsync(20);
    await Promise.all(all);
    await pieces.end();
    const counted = progress
      .at(-1)
      ?.map(({ name, done, isBusy }) => [inEnglish(name), done, isBusy]);
    expect(counted).toEqual([
      ['home', 2, false],
      ['other', 1, false],
    ]);
    expect(progress.at(-1)?.[1]?.seconds).toBeCloseTo(0.02);
  });

  it('end with a cancellation, whoever does them', async () => {
    vi.useFakeTimers();
    const untilStopped: JobWorker['do'] = async (_, job) => {
      while (!job.cancellation.isCancellationRequested) {
        await after(1, '');
      }
      throw new CancelledError();
    };
    const [home, ...others] = [
      worker('home', untilStopped),
      worker('other', never),
      worker('third', untilStopped),
    ];
    const pieces = dispatcher(home);
    for (const other of others) pieces.join(other);
    const all = Promise.allSettled(
      ['a', 'b', 'c'].map(async (key) => pieces.add(piece(key)).result),
    );
    await vi.advanceTimersByTimeAsync(10);
    expect([home, ...others].map(({ begun }) => begun)).toEqual([['a'], ['b'], ['c']]);
    cancellation.isCancellationRequested = true;
    // Workers and the dispatcher look for it at intervals.
    await vi.advanceTimersByTimeAsync(100);
    for (const one of await all) {
      expect(one).toMatchObject({
        status: 'rejected',
        reason: expect.any(CancelledError) as unknown,
      });
    }
    expect(losses).toEqual([]);
  });
});
