import { rm } from 'node:fs/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { MatrixEncoding } from '../../../extension/core/models/matrix-encoding';
import type { LayeredModel } from '../../../extension/core/models/layered-model';
import { openModel } from '../../../extension/core/models/open-model';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { leastMemory } from '../../../extension/core/runtime/memory-shares';
import { SessionPool } from '../../../extension/core/runtime/session-pool';
import { estimateSeconds } from '../../../extension/core/runtime/speed/model-speed';
import type { ModelWork } from '../../../extension/core/runtime/speed/model-speed';
import { makeRandomModel } from '../random-model';

afterEach(() => {
  vi.restoreAllMocks();
});

const cancellation = { isCancellationRequested: false };
/** Work that is enough of a tiny model to be timed. */
const runs: ModelWork = { sublayerTokens: 1e7, readoutTokens: 1e6, passes: () => 1 };

const estimate = async (
  model: LayeredModel,
  work = runs,
  memoryBytes = 1 << 29,
): Promise<number | undefined> =>
  estimateSeconds(
    [{ executor: new LayeredExecutor(model, 'cpu', memoryBytes), work }],
    cancellation,
  );

describe('estimateSeconds', () => {
  it.each([
    ['a small vocabulary: all logits', undefined, true],
    ['a large vocabulary: logits of some ids', 20_000, false],
  ])('times a head over %s', async (_, vocabulary, readsAll) => {
    const folder = await makeRandomModel({
      ...{ seed: 5, blocks: 2 },
      ...(vocabulary === undefined ? {} : { vocabulary }),
    });
    const output = vi.spyOn(LayeredExecutor.prototype, 'output');
    const seconds = await estimate(await openModel(folder));
    expect(seconds).toBeGreaterThan(0);
    expect(output.mock.calls.length > 0).toBe(readsAll);
    await rm(folder, { recursive: true });
  });

  it('times a factored head as a whole, for any vocabulary', async () => {
    const folder = await makeRandomModel({ seed: 5, blocks: 2, vocabulary: 20_000 });
    const model = await openModel(folder);
    const head =
      model.embeddingAndHeadMatrices.find(({ place }) => place === 'head') ?? expect.unreachable();
    const rank = 2;
    const { file, offset } = head.weight;
    const dense = (name: string, shape: readonly [number, number]): MatrixEncoding => ({
      kind: 'dense',
      weight: { ...{ name, dtype: 'F32', shape, file, offset }, length: 4 * shape[0] * shape[1] },
    });
    const form: MatrixEncoding = {
      ...{ kind: 'low-rank', rank },
      left: dense('left', [head.out, rank]),
      right: dense('right', [rank, head.in]),
    };
    const output = vi.spyOn(LayeredExecutor.prototype, 'output');
    const factored = model.withMatrices(new Map([[head.id, form]]));
    expect(await estimate(factored)).toBeGreaterThan(0);
    expect(output).toHaveBeenCalled();
    await rm(folder, { recursive: true });
  });

  it('times weights of more than 512 MiB if opening them is a small part of the work', async () => {
    const folder = await makeRandomModel({ seed: 5, blocks: 2, vocabulary: 20_000 });
    const model = await openModel(folder);
    const sublayer = model.sublayer.bind(model);
    vi.spyOn(model, 'sublayer').mockImplementation((index) => {
      const real = sublayer(index);
      // Only the number is large: the probe decides by it.
      return { ...real, part: { ...real.part, bytes: 600 << 20 } };
    });
    const roomy = 2 ** 33;
    expect(await estimate(model, runs, roomy)).toBeUndefined();
    const large = { ...runs, sublayerTokens: 1e11 };
    expect(await estimate(model, large, roomy)).toBeGreaterThan(0);
    await rm(folder, { recursive: true });
  });

  it('counts opening sessions for each pass if they do not fit in memory', async () => {
    const folder = await makeRandomModel({ seed: 5, blocks: 4 });
    const model = await openModel(folder);
    const sublayer = model.sublayer.bind(model);
    vi.spyOn(model, 'sublayer').mockImplementation((index) => {
      const real = sublayer(index);
      // As quantized weights, which are not mapped.
      return { ...real, part: { ...real.part, bytes: 1 << 20, mappedBytes: 0 } };
    });
    const least = leastMemory(model, 'cpu');
    // Opening 1 MiB takes so long that no run counts.
    vi.spyOn(SessionPool.prototype, 'openings', 'get').mockReturnValue({
      ...{ sessions: 1, bytes: 1 << 20, seconds: 1e9 },
    });
    const work = { ...runs, passes: () => 10 };
    const { streamed } = new LayeredExecutor(model, 'cpu', least);
    expect(streamed.size).toBeGreaterThan(0);
    const keptSeconds = (await estimate(model, work)) ?? expect.unreachable();
    const opened = (await estimate(model, work, least)) ?? expect.unreachable();
    const openingSeconds = 1e9 * 10 * streamed.size;
    expect(opened / openingSeconds).toBeCloseTo(1, 3);
    expect(keptSeconds).toBeLessThan(openingSeconds / 10);
    await rm(folder, { recursive: true });
  });

  it('does not time little work', async () => {
    const folder = await makeRandomModel({ seed: 5, blocks: 2 });
    const little = { ...runs, sublayerTokens: 10, readoutTokens: 10 };
    expect(await estimate(await openModel(folder), little)).toBeUndefined();
    await rm(folder, { recursive: true });
  });
});
