import { rm } from 'node:fs/promises';
import { InferenceSession } from 'onnxruntime-node';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { unattended } from '../../../extension/core/jobs/job';
import { say } from '../../../extension/core/message';
import { openModel } from '../../../extension/core/models/open-model';
import { listCandidates } from '../../../extension/core/prune/candidates';
import { TrajectoryScorer } from '../../../extension/core/prune/trajectory-scorer';
import type { SearchRecord } from '../../../extension/core/prune/search-memo';
import type { SearchResult } from '../../../extension/core/prune/search';
import type { DeviceName } from '../../../extension/core/runtime/device';
import { ChangeScorer } from '../../../extension/core/tensornet/sensitivity/change-scorer';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { negativeLogLikelihood } from '../../../extension/core/runtime/next-token';
import { floatsIn, stateBytes } from '../../../extension/core/runtime/tensors';
import type { HiddenState, Tensor } from '../../../extension/core/runtime/tensors';
import { wholeWindow, windowSums } from '../../../extension/core/runtime/windows';
import { relativeError } from '../fixtures';
import { runSearch, withSetup } from '../prune/run-search';
import type { SearchRun } from '../prune/run-search';
import { makeRandomModel } from '../random-model';
import { missingGpu } from './missing-gpu';

const sequences = [1, 2].map((seed) =>
  Array.from({ length: 48 }, (_, i) => (i * 7 + 3 + seed * (i % 5)) % 40),
);
const plenty = 1 << 30;
let missing: string | undefined;
let folder = '';

beforeAll(async () => {
  missing = await missingGpu();
  folder = await makeRandomModel({ seed: 5, blocks: 4 });
  return async () => rm(folder, { recursive: true });
}, 120_000);

beforeEach((context) => {
  context.skip(missing !== undefined, missing);
});

afterEach(() => {
  vi.restoreAllMocks();
});

/** What goes over main memory. */
interface Traffic {
  sentBytes: number;
  readBytes: number;
  runs: number;
}

/** Counts what sessions are given and give in main memory; runs behind the first `limit` fail. */
function watchSessions(limit = Infinity): Traffic {
  const traffic: Traffic = { sentBytes: 0, readBytes: 0, runs: 0 };
  const create = InferenceSession.create.bind(InferenceSession) as (
    ...args: readonly unknown[]
  ) => Promise<InferenceSession>;
  const bytesOf = (tensors: Readonly<Record<string, unknown>>): number =>
    Object.values(tensors as Readonly<Record<string, Tensor>>).reduce(
      (sum, tensor) =>
        sum + (tensor.location === 'cpu' ? (tensor.data as Float32Array).byteLength : 0),
      0,
    );
  vi.spyOn(InferenceSession, 'create').mockImplementation(async (...args: readonly unknown[]) => {
    const session = await create(...args);
    const run = session.run.bind(session);
    session.run = async (feeds: Parameters<typeof run>[0]) => {
      traffic.runs += 1;
      if (traffic.runs > limit) {
        throw new Error('the device was lost');
      }
      const outputs = await run(feeds);
      traffic.sentBytes += bytesOf(feeds);
      traffic.readBytes += bytesOf(outputs);
      return outputs;
    };
    return session;
  });
  return traffic;
}

async function withExecutor<T>(
  device: DeviceName,
  action: (executor: LayeredExecutor) => Promise<T>,
  memoryBytes = plenty,
): Promise<T> {
  const executor = new LayeredExecutor(await openModel(folder), device, memoryBytes);
  try {
    return await action(executor);
  } finally {
    await executor.dispose();
    expect(executor.states.buffers).toBe(0);
  }
}

const searchOn = async (
  device: DeviceName,
  run: Partial<SearchRun> = {},
  memoryBytes = plenty,
): Promise<SearchResult> =>
  withExecutor(
    device,
    async (executor) =>
      runSearch({
        ...{ folder, sequences, executor },
        settings: { mode: 'exact', budget: { kind: 'count', count: 2 } },
        ...run,
      }),
    memoryBytes,
  );

function expectSame(found: SearchResult, expected: SearchResult): void {
  expect(found.rounds.map(({ removed }) => removed)).toEqual(
    expected.rounds.map(({ removed }) => removed),
  );
  for (const key of ['candidates', 'cosineLocal'] as const) {
    const distances = (result: SearchResult): Float32Array =>
      Float32Array.from(result[key], ({ distance }) => distance ?? Number.NaN);
    expect(relativeError(distances(found), distances(expected)), key).toBeLessThan(1e-4);
  }
  found.rounds.forEach(({ distance }, i) => {
    expect(distance / (expected.rounds[i]?.distance ?? 0)).toBeCloseTo(1, 4);
  });
}

describe('states on WebGPU', { timeout: 300_000 }, () => {
  it('of a search do not go over main memory, and give what the CPU gives', async () => {
    const settings = (count: number): SearchRun['settings'] => ({
      mode: 'exact',
      budget: { kind: 'count', count },
    });
    const first = watchSessions();
    const short = await searchOn('webgpu', { settings: settings(1) });
    vi.restoreAllMocks();
    const second = watchSessions();
    const long = await searchOn('webgpu', { settings: settings(3) });
    vi.restoreAllMocks();
    expectSame(long, await searchOn('cpu', { settings: settings(3) }));
    const perState = await withExecutor('cpu', async (executor) =>
      stateBytes(await executor.embed(Int32Array.from(sequences[0] ?? []))),
    );
    // What both read are states of the original, for cosines and the reference.
    const stateBytesMore = (long.sublayerEvaluations - short.sublayerEvaluations) * perState;
    expect(stateBytesMore).toBeGreaterThan(30 * perState);
    expect(second.readBytes - first.readBytes).toBeLessThan(0.1 * stateBytesMore);
    expect(second.sentBytes - first.sentBytes).toBeLessThan(0.1 * stateBytesMore);
  });

  it.each([
    ['adaptive', 'kl', 'sublayer'],
    ['adaptive', 'angular', 'sublayer'],
    ['exact', 'perplexity', 'block'],
    ['naive', 'norm', 'sublayer'],
  ] as const)('are searched by %s with %s, by %s, as on the CPU', async (...[mode, metric, by]) => {
    const budget = { kind: 'count', count: 2 } as const;
    const settings = { mode, metric, budget, granularity: by };
    expectSame(await searchOn('webgpu', { settings }), await searchOn('cpu', { settings }));
  });

  it.each([
    ['cohere', 'sublayer'],
    ['mixtral', 'expert'],
  ] as const)('of %s are searched as on the CPU', async (modelType, granularity) => {
    const llama = folder;
    folder = await makeRandomModel({ seed: 3, blocks: 2, modelType });
    try {
      const settings = { mode: 'exact', granularity } as const;
      const run = { settings: { ...settings, budget: { kind: 'count', count: 2 } as const } };
      expectSame(await searchOn('webgpu', run), await searchOn('cpu', run));
    } finally {
      await rm(folder, { recursive: true });
      folder = llama;
    }
  });

  it('are given back before the sessions end that are made for one use', async () => {
    const memoryBytes = 40_000;
    const keeps = async (executor: LayeredExecutor): Promise<boolean> =>
      Promise.resolve(executor.keepsSessions);
    expect(await withExecutor('webgpu', keeps, memoryBytes)).toBe(false);
    expectSame(await searchOn('webgpu', {}, memoryBytes), await searchOn('cpu'));
  });

  it('have the perplexity of the CPU', async () => {
    const sumsOn = async (device: DeviceName): Promise<Float32Array> =>
      withExecutor(device, async (executor) => {
        const windows = sequences.map((ids) => wholeWindow(executor.model, Int32Array.from(ids)));
        const terms = [negativeLogLikelihood];
        const work = { terms, removed: new Set([3]), stage: say`Perplexity` };
        const first = await windowSums(executor, windows, work, unattended);
        const { buffers } = executor.states;
        expect(await windowSums(executor, windows, work, unattended)).toEqual(first);
        expect(executor.states.buffers).toBe(buffers);
        return Float32Array.from(first.flat());
      });
    expect(relativeError(await sumsOn('webgpu'), await sumsOn('cpu'))).toBeLessThan(1e-4);
  });

  it('have the distances of the CPU behind changes of a sublayer', async () => {
    const distancesOn = async (device: DeviceName): Promise<Float32Array> =>
      withExecutor(device, async (executor) => {
        const scorer = new ChangeScorer({
          ...{ executor, metric: 'js', cancellation: unattended.cancellation },
          inputs: sequences.map((ids) => Int32Array.from(ids)),
          onWork: () => undefined,
        });
        await scorer.start();
        await scorer.advance(3);
        // Other feed-forwards stand in for the second.
        const steps = [5, 7].map((index) => ({ ...executor.model.sublayer(index), without: [] }));
        const whole = await scorer.distances(steps);
        const estimates = await scorer.estimates(steps, 0);
        const { buffers } = executor.states;
        await scorer.estimates(steps, 0);
        expect(executor.states.buffers).toBe(buffers);
        return Float32Array.from([...whole, ...estimates], ({ distance }) => distance);
      });
    expect(relativeError(await distancesOn('webgpu'), await distancesOn('cpu'))).toBeLessThan(1e-4);
  });

  it('are held by whoever has them, beside states of main memory', async () => {
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

  it.each([3, 12, 20])('of a search that is stopped at run %i are given back', async (stop) => {
    await withExecutor('webgpu', async (executor) => {
      const settings = { mode: 'exact' } as const;
      await withSetup({ folder, sequences, executor, settings }, async (setup) => {
        const candidates = listCandidates(executor.model.summary, 'sublayer');
        const slices = sequences.map(({ length }, sequence) => ({ sequence, from: 0, to: length }));
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
        // What stays are side values, the original's rows and the last logits.
        const { buffers } = executor.states;
        left = stop;
        await expect(scorer.terms('stopped', candidates, slices, 'whole')).rejects.toThrow(
          /stopped/,
        );
        scorer.end();
        expect(executor.states.buffers).toBe(buffers);
      });
    });
  });

  it('that are lost with the device are computed again on the CPU, from what is known', async () => {
    const expected = await searchOn('cpu');
    const records: SearchRecord[] = [];
    const onRecord = (added: readonly SearchRecord[]): void => {
      records.push(...added);
    };
    watchSessions(120);
    await expect(searchOn('webgpu', { onRecord })).rejects.toThrow(/device was lost/);
    vi.restoreAllMocks();
    expect(records.length).toBeGreaterThan(0);
    const onCpu: SearchRecord[] = [];
    const found = await searchOn('cpu', {
      replayed: records,
      onRecord: (added) => {
        onCpu.push(...added);
      },
    });
    expectSame(found, expected);
    expect(onCpu.length).toBeGreaterThan(0);
  });
});
