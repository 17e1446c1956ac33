import { rm } from 'node:fs/promises';
import { InferenceSession } from 'onnxruntime-node';
import { afterEach, beforeAll, beforeEach, expect, vi } from 'vitest';
import { openModel } from '../../../../extension/core/models/open-model';
import type { SearchResult } from '../../../../extension/core/prune/search';
import type { DeviceName } from '../../../../extension/core/runtime/device';
import { LayeredExecutor } from '../../../../extension/core/runtime/layered-executor';
import type { Tensor } from '../../../../extension/core/runtime/tensors';
import { relativeError } from '../../fixtures';
import { runSearch } from '../../prune/run-search';
import type { SearchRun } from '../../prune/run-search';
import { makeRandomModel } from '../../random-model';
import { missingGpu } from '../missing-gpu';

/** Token ids of two texts. */
export const sequences = [1, 2].map((seed) =>
  Array.from({ length: 48 }, (_, i) => (i * 7 + 3 + seed * (i % 5)) % 40),
);
/** Bytes of memory that keep all. */
const plenty = 1 << 30;
/** Too little to keep all sessions. */
export const little = 40_000;
/** The model of the tests. */
export const model = { folder: '' };

/** Makes the model before the tests of the enclosing `describe`, which need a GPU. */
export function onWebGpu(): void {
  let missing: string | undefined;
  beforeAll(async () => {
    missing = await missingGpu();
    model.folder = await makeRandomModel({ seed: 5, blocks: 3 });
    return async () => rm(model.folder, { recursive: true });
  });
  beforeEach((context) => {
    context.skip(missing !== undefined, missing);
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });
}

/** Tensors that pass through main memory, in order. */
interface Traffic {
  sentBytes: number;
  readBytes: number;
  runs: number;
  /** Runs whose outputs stay on the device, those that are read, and ends of sessions. */
  readonly events: ('stays' | 'reads' | 'ends')[];
}

/** Counts inputs and outputs of sessions in main memory; runs after the first `limit` fail. */
export function watchSessions(limit = Infinity): Traffic {
  const traffic: Traffic = { sentBytes: 0, readBytes: 0, runs: 0, events: [] };
  const create = InferenceSession.create.bind(InferenceSession) as (
    ...args: readonly unknown[]
  ) => Promise<InferenceSession>;
  const toBytes = (tensors: Readonly<Record<string, unknown>>): number =>
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
      traffic.sentBytes += toBytes(feeds);
      traffic.readBytes += toBytes(outputs);
      traffic.events.push(toBytes(outputs) > 0 ? 'reads' : 'stays');
      return outputs;
    };
    const release = session.release.bind(session);
    session.release = async () => {
      traffic.events.push('ends');
      return release();
    };
    return session;
  });
  return traffic;
}

/** Runs the model on a device. */
export async function withExecutor<T>(
  device: DeviceName,
  action: (executor: LayeredExecutor) => Promise<T>,
  memoryBytes = plenty,
): Promise<T> {
  const executor = new LayeredExecutor(await openModel(model.folder), device, memoryBytes);
  try {
    return await action(executor);
  } finally {
    await executor.dispose();
  }
}

/** Searches with an executor of its own. */
export const searchOn = async (
  device: DeviceName,
  run: Partial<SearchRun> = {},
  memoryBytes = plenty,
): Promise<SearchResult> =>
  withExecutor(
    device,
    async (executor) =>
      runSearch({
        ...{ folder: model.folder, sequences, executor },
        settings: { mode: 'exact', budget: { kind: 'count', count: 2 } },
        ...run,
      }),
    memoryBytes,
  );

/** Expects the same removals, and distances but for rounding. */
export function expectSame(found: SearchResult, expected: SearchResult): void {
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
