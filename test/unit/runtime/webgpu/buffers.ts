import { describe, expect, it, vi } from 'vitest';
import { unattended } from '../../../../extension/core/jobs/job';
import { say } from '../../../../extension/core/message';
import { listCandidates } from '../../../../extension/core/prune/candidates';
import { Surrogate } from '../../../../extension/core/prune/adaptive/surrogate';
import { ShardWork } from '../../../../extension/core/prune/shards/shard-work';
import type { OriginalStates, ScorerSetup } from '../../../../extension/core/prune/scorer';
import { TrajectoryScorer } from '../../../../extension/core/prune/trajectory-scorer';
import { negativeLogLikelihood } from '../../../../extension/core/runtime/next-token';
import { floatsIn } from '../../../../extension/core/runtime/tensors';
import type { HiddenState } from '../../../../extension/core/runtime/tensors';
import { wholeWindow, windowSums } from '../../../../extension/core/runtime/windows';
import type { SearchResult } from '../../../../extension/core/prune/search';
import { runSearch, withSetup } from '../../prune/run-search';
import { runsAllCases } from '../../sample';
import {
  expectSame,
  little,
  model,
  onWebGpu,
  searchOn,
  sequences,
  watchSessions,
  withExecutor,
} from './on-webgpu';

type Work = (setup: ScorerSetup, original: OriginalStates) => Promise<unknown>;

const surrogate: Work = async (setup, original) => {
  const state = original.get(0);
  const [candidate] = listCandidates(setup.executor.model.summary, 'sublayer');
  if (state === undefined || candidate === undefined) {
    throw new Error('nothing to start from');
  }
  const started = await Surrogate.start(setup, { sequence: 0, from: 0, to: 48 }, state);
  started.learn(candidate, undefined);
  try {
    await started.distances([candidate]);
  } finally {
    started.end();
  }
};

const shard: Work = async (setup) =>
  new ShardWork(setup).do({ kind: 'original', sequence: 0, naive: false }, unattended);

const windows: Work = async ({ executor, sequences: inputs, onWork }) => {
  const cancellation = {
    get isCancellationRequested(): boolean {
      onWork();
      return false;
    },
  };
  const all = inputs.map((input) => wholeWindow(executor.model, input));
  const work = { terms: [negativeLogLikelihood], stage: say`Perplexity` };
  await windowSums(executor, all, work, { cancellation, progress: () => undefined });
};

describe('buffers of states on WebGPU', () => {
  onWebGpu();

  it('are computed before a session ends that is made for one use, and are given back', async () => {
    const found = await withExecutor(
      'webgpu',
      async (executor) => {
        expect(executor.keepsSessions).toBe(false);
        const search = async (count: number): Promise<SearchResult> => {
          const settings = { mode: 'exact', budget: { kind: 'count', count } } as const;
          return runSearch({ folder: model.folder, sequences, executor, settings });
        };
        const { events } = watchSessions();
        await search(1);
        const { buffers } = executor.states;
        const result = await search(2);
        const ends = events.flatMap((event, i) => (event === 'ends' ? [i] : []));
        expect(ends.length).toBeGreaterThan(10);
        expect(ends.map((i) => events[i - 1])).toEqual(ends.map(() => 'reads'));
        expect(executor.states.buffers).toBe(buffers);
        return result;
      },
      little,
    );
    vi.restoreAllMocks();
    expectSame(found, await searchOn('cpu'));
  });

  it('are awaited after many rows were sent to the device', async () => {
    await withExecutor('webgpu', async (executor) => {
      const embedded = await executor.embed(Int32Array.from(sequences[0] ?? []));
      let states = await Promise.all(
        Array.from({ length: 40 }, async () => executor.states.toDevice(embedded)),
      );
      const { events } = watchSessions();
      for (let run = 0; run < 8; run++) {
        const index = run % executor.model.summary.sublayers.length;
        const before = states;
        states = await executor.run(index, before);
        executor.states.release(...before);
      }
      // 8 times 40 states of 48 rows.
      expect(events.filter((event) => event === 'reads')).toHaveLength(1);
      const waitsBefore = events.length;
      await executor.states.settle(states);
      expect(events.slice(waitsBefore)).toEqual(['reads']);
      executor.states.release(...states);
    });
  });

  it('are processed a few at a time if they do not all fit', async () => {
    await withExecutor(
      'webgpu',
      async (executor) => {
        const settings = { mode: 'exact' } as const;
        const many = Array.from({ length: 16 }, () => sequences[0] ?? []);
        await withSetup(
          { folder: model.folder, sequences: many, executor, settings },
          async (setup) => {
            const scorer = new TrajectoryScorer(setup);
            let most = 0;
            const observe = (): Promise<void> => {
              most = Math.max(most, executor.states.buffers);
              return Promise.resolve();
            };
            await scorer.start([...many.keys()], { observe, add: () => undefined });
            expect(most).toBeLessThan(many.length);
          },
        );
      },
      little,
    );
  });

  it('are kept by every owner, together with states in main memory', async () => {
    await withExecutor('webgpu', async (executor) => {
      const { states } = executor;
      const embedded = await executor.embed(Int32Array.from(sequences[0] ?? []));
      const sent = await states.toDevice(embedded);
      const [a, b, c] = await executor.run(0, [sent, sent, embedded]);
      if (a === undefined || b === undefined || c === undefined) {
        throw new Error('a state is lost');
      }
      const numbers = async (state: HiddenState): Promise<Float32Array[]> =>
        Object.values((await states.toHost(state)).values).map(floatsIn);
      expect(await numbers(a)).toEqual(await numbers(b));
      expect(await numbers(a)).toEqual(await numbers(c));
      expect(Object.values(c.values).every(({ location }) => location === 'cpu')).toBe(true);
      const { buffers } = states;
      states.release(a, b, c);
      expect(states.buffers).toBe(buffers - 2);
      await expect(executor.run(1, [a])).rejects.toThrow(/given back/);
      states.release(sent);
      const stopped = executor.run(1, [embedded], async () => Promise.reject(new Error('stop')));
      await expect(stopped).rejects.toThrow(/stop/);
    });
  });

  it('are released if a copy fails, before the session that made them ends', async () => {
    await withExecutor('webgpu', async (executor) => {
      const { states } = executor;
      const state = await states.toDevice(
        await executor.embed(Int32Array.from(sequences[0] ?? [])),
      );
      const step = executor.model.sublayer(0);
      states.release(...(await executor.through(step, [state])));
      const { buffers } = states;
      // Two are joined and go through; then they are not divided.
      watchSessions(2);
      await expect(executor.through(step, [state, state])).rejects.toThrow(/device was lost/);
      expect(states.buffers).toBe(buffers);
      states.release(state);
    });
  });

  it.each(runsAllCases ? [3, 12, 20] : [12])(
    'of a search that is stopped at run %i are given back',
    async (stop) => {
      await withExecutor('webgpu', async (executor) => {
        const settings = { mode: 'exact' } as const;
        await withSetup({ folder: model.folder, sequences, executor, settings }, async (setup) => {
          const candidates = listCandidates(executor.model.summary, 'sublayer');
          const slices = sequences.map(({ length }, sequence) => ({
            sequence,
            from: 0,
            to: length,
          }));
          let left = Infinity;
          const onWork = (): void => {
            left -= 1;
            if (left === 0) {
              throw new Error('stopped');
            }
          };
          const scorer = new TrajectoryScorer({ ...setup, onWork });
          await scorer.start([0, 1]);
          await scorer.terms('before', candidates, slices, 'whole');
          scorer.end();
          // Side values and the last logits remain.
          const { buffers } = executor.states;
          left = stop;
          await expect(scorer.terms('stopped', candidates, slices, 'whole')).rejects.toThrow(
            /stopped/,
          );
          scorer.end();
          expect(executor.states.buffers).toBe(buffers);
        });
      });
    },
  );

  it.each([
    ['a surrogate', surrogate],
    ['a shard', shard],
    ['windows', windows],
  ] as const)('of %s that is stopped are given back', async (_, work) => {
    await withExecutor('webgpu', async (executor) => {
      const settings = { mode: 'exact' } as const;
      await withSetup({ folder: model.folder, sequences, executor, settings }, async (setup) => {
        let left = Infinity;
        const onWork = (): void => {
          left -= 1;
          if (left < 0) {
            throw new Error('stopped');
          }
        };
        const original = await new TrajectoryScorer(setup).start([0]);
        await work({ ...setup, onWork }, original);
        const { buffers } = executor.states;
        left = 5;
        await expect(work({ ...setup, onWork }, original)).rejects.toThrow(/stopped/);
        expect(executor.states.buffers).toBe(buffers);
      });
    });
  });
});
