import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { CancelledError, unattended } from '../../../extension/core/jobs/job';
import { inEnglish } from '../../../extension/core/message';
import { ModelCache } from '../../../extension/core/models/model-cache';
import { buildRequest } from '../../../extension/core/operations/build-request';
import { imatrix } from '../../../extension/core/operations/imatrix';
import type { OperationContext } from '../../../extension/core/operations/operation';
import { scoreExperts } from '../../../extension/core/operations/score-experts';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { fixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const models = new ModelCache({ capacity: 2 });
const tap = vi.spyOn(LayeredExecutor.prototype, 'tap');
const routed = vi.spyOn(LayeredExecutor.prototype, 'routed');
const random = { calibration: 'random', sequences: 3, length: 8, device: 'cpu' } as const;

beforeAll(() => {
  vi.stubEnv('XDG_CACHE_HOME', join(folder, 'cache'));
});
afterAll(() => {
  vi.unstubAllEnvs();
  tap.mockRestore();
  routed.mockRestore();
});

/** Bytes of the sublayers before one, as progress counts them. */
async function bytesBefore(path: string, sublayer: number): Promise<number> {
  const { sublayers } = (await models.open(path)).summary;
  const bytes = sublayers.slice(0, sublayer).reduce((sum, one) => sum + one.bytes, 0);
  return Number.isFinite(sublayer) ? bytes : sublayer;
}

/** @param stopAt bytes that are done when it is stopped */
function makeContext(stopAt: number): { context: OperationContext; told: string[] } {
  const cancellation = { isCancellationRequested: false };
  const reported: string[] = [];
  tap.mockClear();
  routed.mockClear();
  return {
    told: reported,
    context: {
      ...unattended,
      cancellation,
      progress: ({ done }) => {
        cancellation.isCancellationRequested ||= done >= stopAt;
      },
      inform: (message) => void reported.push(inEnglish(message)),
      environment: {
        samples: '',
        ...{ version: '0', bundles: '', costsFolder: folder },
        open: async (path: string) => models.open(path),
      },
    },
  };
}

/** Saved files of a run that was stopped. */
const leftBy = (files: string | readonly string[] | undefined): boolean[] =>
  [files ?? []].flat().map((file) => existsSync(file));

it('an importance matrix continues after the last saved sublayer, with identical bytes', async () => {
  const write = async (name: string, stopAt = Number.POSITIVE_INFINITY) => {
    const out = join(folder, name);
    const model = fixture('llama-gqa-untied');
    const { context, told } = makeContext(await bytesBefore(model, stopAt));
    const request = buildRequest(imatrix, { model, out, ...random });
    const error: unknown = await imatrix.run(request, context).then(
      () => undefined,
      (failure: unknown) => failure,
    );
    const left = leftBy(imatrix.resume?.(request));
    return { error, told, left, taps: tap.mock.calls.length, out };
  };
  const whole = await write('whole.gguf');
  expect(whole).toMatchObject({ error: undefined, told: [], left: [false, false] });
  expect(whole.taps).toBeGreaterThan(3);

  const stopped = await write('again.gguf', 2);
  expect(stopped).toMatchObject({ left: [true, true], taps: 3 });
  expect(stopped.error).toBeInstanceOf(CancelledError);
  expect(existsSync(stopped.out)).toBe(false);

  const again = await write('again.gguf');
  expect(again).toMatchObject({
    ...{ error: undefined, left: [false, false], taps: whole.taps - 2 },
    told: ['Continues where an earlier run stopped.'],
  });
  expect(readFileSync(again.out).equals(readFileSync(whole.out))).toBe(true);
});

it('expert scores continue, and restart on another text', async () => {
  const score = async (seed: number, stopAt = Number.POSITIVE_INFINITY) => {
    const model = fixture('mixtral');
    const { context, told } = makeContext(await bytesBefore(model, stopAt));
    const request = buildRequest(scoreExperts, { model, seed, ...random });
    const result: unknown = await scoreExperts
      .run(request, context)
      .catch((failure: unknown) => failure);
    const left = leftBy(scoreExperts.resume?.(request));
    return { result, told, left, taps: routed.mock.calls.length };
  };
  const whole = await score(1);
  expect(whole).toMatchObject({ told: [], left: [false, false], result: { remove: [] } });

  // In the second MoE layer.
  const stopped = await score(1, 3);
  expect(stopped.result).toBeInstanceOf(CancelledError);
  expect(stopped).toMatchObject({ left: [true, true], taps: 2 });
  const again = await score(1);
  expect(again).toMatchObject({ left: [false, false], taps: whole.taps - 1 });
  expect(again.told).toHaveLength(1);
  expect(again.result).toEqual(whole.result);

  await score(1, 2);
  const other = await score(2);
  expect(other).toMatchObject({ told: [], left: [false, false], taps: whole.taps });
  expect(other.result).not.toEqual(whole.result);
});
