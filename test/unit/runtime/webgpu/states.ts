import { rm } from 'node:fs/promises';
import { describe, expect, it, vi } from 'vitest';
import { unattended } from '../../../../extension/core/jobs/job';
import { say } from '../../../../extension/core/message';
import type { SearchResult } from '../../../../extension/core/prune/search';
import type { SearchRecord } from '../../../../extension/core/prune/search-memo';
import type { DeviceName } from '../../../../extension/core/runtime/device';
import { ChangeScorer } from '../../../../extension/core/tensornet/sensitivity/change-scorer';
import { negativeLogLikelihood } from '../../../../extension/core/runtime/next-token';
import { stateBytes } from '../../../../extension/core/runtime/tensors';
import { wholeWindow, windowSums } from '../../../../extension/core/runtime/windows';
import { relativeError } from '../../fixtures';
import { runSearch } from '../../prune/run-search';
import type { SearchRun } from '../../prune/run-search';
import { makeRandomModel } from '../../random-model';
import { runsAllCases } from '../../sample';
import {
  expectSame,
  model,
  onWebGpu,
  searchOn,
  sequences,
  watchSessions,
  withExecutor,
} from './on-webgpu';

describe('states on WebGPU', () => {
  onWebGpu();

  it("of a search stay on the device, with the CPU's results", async () => {
    const settings = (count: number): SearchRun['settings'] => ({
      mode: 'exact',
      budget: { kind: 'count', count },
    });
    const traffic = watchSessions();
    const { short, first, long } = await withExecutor('webgpu', async (executor) => {
      const search = async (count: number): Promise<SearchResult> =>
        runSearch({ folder: model.folder, sequences, executor, settings: settings(count) });
      return { short: await search(1), first: { ...traffic }, long: await search(3) };
    });
    vi.restoreAllMocks();
    const second = {
      readBytes: traffic.readBytes - first.readBytes,
      sentBytes: traffic.sentBytes - first.sentBytes,
    };
    expectSame(long, await searchOn('cpu', { settings: settings(3) }));
    const perState = await withExecutor('cpu', async (executor) =>
      stateBytes(await executor.embed(Int32Array.from(sequences[0] ?? []))),
    );
    // Both read states of the original, for cosines and the reference.
    const stateBytesMore = (long.sublayerEvaluations - short.sublayerEvaluations) * perState;
    expect(stateBytesMore).toBeGreaterThan(15 * perState);
    expect(second.readBytes - first.readBytes).toBeLessThan(0.1 * stateBytesMore);
    expect(second.sentBytes - first.sentBytes).toBeLessThan(0.1 * stateBytesMore);
  });

  it.each([
    [
      ...(['adaptive', 'kl', 'sublayer'] as const),
      { baselines: ['random'], refine: { method: 'swaps', sets: 4 } },
    ],
    ...(runsAllCases ? ([['adaptive', 'angular', 'sublayer', {}]] as const) : []),
    ['exact', 'perplexity', 'block', {}],
    ['naive', 'norm', 'sublayer', {}],
  ] as const)(
    'are searched by %s with %s, by %s, as on the CPU, and given back',
    async (...run) => {
      const [mode, metric, granularity, more] = run;
      const settings = (count: number): SearchRun['settings'] => ({
        ...{ mode, metric, granularity, ...more },
        budget: { kind: 'count', count },
      });
      await withExecutor('webgpu', async (executor) => {
        const search = async (count: number): Promise<SearchResult> =>
          runSearch({ folder: model.folder, sequences, executor, settings: settings(count) });
        await search(1);
        const { buffers } = executor.states;
        const found = await search(2);
        // Only side values and the last logits remain, for any number of rounds.
        expect(executor.states.buffers).toBe(buffers);
        expectSame(found, await searchOn('cpu', { settings: settings(2) }));
      });
    },
  );

  it.each([
    ['cohere', 'sublayer'],
    ['mixtral', 'expert'],
  ] as const)('of %s are searched as on the CPU', async (modelType, granularity) => {
    const llama = model.folder;
    model.folder = await makeRandomModel({ seed: 3, blocks: 2, modelType });
    try {
      const settings = { mode: 'exact', granularity } as const;
      const run = { settings: { ...settings, budget: { kind: 'count', count: 2 } as const } };
      expectSame(await searchOn('webgpu', run), await searchOn('cpu', run));
    } finally {
      await rm(model.folder, { recursive: true });
      model.folder = llama;
    }
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

  it('have the same distances as on the CPU after changes of a sublayer', async () => {
    const distancesOn = async (device: DeviceName): Promise<Float32Array> =>
      withExecutor(device, async (executor) => {
        const scorer = new ChangeScorer({
          ...{ executor, metric: 'js', cancellation: unattended.cancellation },
          inputs: sequences.map((ids) => Int32Array.from(ids)),
          onWork: () => undefined,
        });
        await scorer.start();
        await scorer.advance(3);
        // Other MLPs replace the second.
        const steps = [1, 5].map((index) => ({ ...executor.model.sublayer(index), without: [] }));
        const whole = await scorer.distances(steps);
        const estimates = await scorer.estimates(steps, 0);
        const { buffers } = executor.states;
        await scorer.estimates(steps, 0);
        expect(executor.states.buffers).toBe(buffers);
        return Float32Array.from([...whole, ...estimates], ({ distance }) => distance);
      });
    expect(relativeError(await distancesOn('webgpu'), await distancesOn('cpu'))).toBeLessThan(1e-4);
  });

  it('that are lost with the device are recomputed on the CPU', async () => {
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
