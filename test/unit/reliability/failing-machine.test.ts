import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { InferenceSession } from 'onnxruntime-node';
import { afterEach, beforeAll, expect, it, vi } from 'vitest';
import { ModelCache } from '../../../extension/core/models/model-cache';
import type { Environment } from '../../../extension/core/operations/operation';
import { ownMemory } from '../../../extension/core/runtime/limits/process-memory';
import { UserError } from '../../../extension/core/user-error';
import { runTask } from '../../reliability/faults';
import { kinds, makeSources, makeTask } from '../../reliability/kinds';
import { differences, readTree } from '../../reliability/tree';
import type { Tree } from '../../reliability/tree';
import { fixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const out = join(folder, 'out');
const sources = makeSources(join(folder, 'sources'), fixture('llama-gqa-untied'));
const task = makeTask(kinds.profile, sources, out);
const models = new ModelCache({ capacity: 1 });
const environment: Environment = {
  ...{ samples: '', version: '0', costsFolder: join(folder, 'costs'), bundles: '' },
  open: async (path) => models.open(path),
};
let undisturbed: Tree;
let runs = 0;

const renew = (): void => {
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out);
};

/** Lets runs of sessions fail after the first ones. @returns the number of runs */
function failRuns(after: number, message = ''): () => number {
  let count = 0;
  const create = InferenceSession.create.bind(InferenceSession) as (
    ...args: readonly unknown[]
  ) => Promise<InferenceSession>;
  vi.spyOn(InferenceSession, 'create').mockImplementation(async (...args: readonly unknown[]) => {
    const session = await create(...args);
    const run = session.run.bind(session) as (...args: readonly unknown[]) => Promise<never>;
    session.run = async (...inputs: readonly unknown[]) => {
      count += 1;
      if (count > after) throw new Error(message);
      return run(...inputs);
    };
    return session;
  });
  return () => count;
}

beforeAll(async () => {
  renew();
  const counted = failRuns(Infinity);
  await runTask(task, environment);
  vi.restoreAllMocks();
  runs = counted();
  undisturbed = readTree(out);
});

afterEach(() => {
  vi.restoreAllMocks();
});

it.each([
  [
    'a device that is lost',
    'CUDA failure 719: unspecified launch failure',
    /The device failed: CUDA/,
  ],
  ['memory that is used up', 'std::bad_alloc', /has no memory left: std::bad_alloc\. Close other/],
])(
  '%s in the middle is said, and the next run ends as if nothing had been',
  async (_, said, told) => {
    renew();
    expect(runs).toBeGreaterThan(10);
    failRuns(runs / 2, said);
    const error: unknown = await runTask(task, environment).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UserError);
    expect(String(error)).toMatch(told);
    vi.restoreAllMocks();
    await runTask(task, environment);
    expect(differences(readTree(out), undisturbed)).toEqual([]);
  },
);

it('a clock that is set back or forward an hour changes neither the work nor its reports', async () => {
  renew();
  const { now } = Date;
  let calls = 0;
  vi.spyOn(Date, 'now').mockImplementation(() => now() + ((calls++ % 3) - 1) * 3_600_000);
  await runTask(task, environment);
  expect(differences(readTree(out), undisturbed)).toEqual([]);
});

it('a limit of the system that is too low is said before anything runs, and one that is just enough changes no result', async () => {
  const limit = (bytes: number): void => {
    vi.spyOn(ownMemory, 'groups').mockReturnValue([{ limitBytes: bytes, usedBytes: 100 << 20 }]);
  };
  renew();
  limit(196 << 20);
  const error: unknown = await runTask(task, environment).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(UserError);
  const [, needed = ''] = /needs (\d+)MiB of memory.*limits this process/.exec(String(error)) ?? [];
  expect(readTree(out)).toEqual(new Map());
  limit((196 + Number(needed)) << 20);
  await runTask(task, environment);
  expect(differences(readTree(out), undisturbed)).toEqual([]);
});

it('reports that the machine has too little memory available', async () => {
  vi.spyOn(ownMemory, 'groups').mockReturnValue([]);
  vi.spyOn(ownMemory, 'availableBytes').mockReturnValue(1 << 20);
  renew();
  await expect(runTask(task, environment)).rejects.toThrow(
    /needs \d+MiB of memory.*Only 1MiB are available: close other programs/,
  );
  expect(readTree(out)).toEqual(new Map());
});
