import { rm } from 'node:fs/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { MatrixEncoding } from '../../../extension/core/models/matrix-encoding';
import { openModel } from '../../../extension/core/models/open-model';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { leastMemory } from '../../../extension/core/runtime/memory-shares';
import { estimateSeconds } from '../../../extension/core/runtime/speed/model-speed';
import { makeRandomModel } from '../random-model';

afterEach(() => {
  vi.restoreAllMocks();
});

const options = {
  ...({ device: 'cpu', memoryBytes: 1 << 29 } as const),
  cancellation: { isCancellationRequested: false },
};
/** Tokens that make enough work of a tiny model to be timed. */
const runs = { sublayerTokens: 1e7, readoutTokens: 1e6 };

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
    const seconds = await estimateSeconds(runs, await openModel(folder), options);
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
    expect(await estimateSeconds(runs, factored, options)).toBeGreaterThan(0);
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
    const roomy = { ...options, memoryBytes: 2 ** 33 };
    expect(await estimateSeconds(runs, model, roomy)).toBeUndefined();
    const large = { sublayerTokens: 1e11, readoutTokens: 1e6 };
    expect(await estimateSeconds(large, model, roomy)).toBeGreaterThan(0);
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
    // Every look at the clock is a second after the last one, but a first run takes 100: it opens the session.
    let [now, looks] = [0, 0];
    vi.spyOn(performance, 'now').mockImplementation(
      () => (now += looks++ % 6 === 1 ? 100_000 : 1000),
    );
    const kept = await estimateSeconds(runs, model, options);
    looks = 0;
    const least = { ...options, memoryBytes: leastMemory(model, 'cpu') };
    const streamed = await estimateSeconds(runs, model, least);
    expect(streamed).toBeGreaterThan(1.5 * (kept ?? expect.unreachable()));
    await rm(folder, { recursive: true });
  });

  it('does not time little work', async () => {
    const folder = await makeRandomModel({ seed: 5, blocks: 2 });
    const little = { sublayerTokens: 10, readoutTokens: 10 };
    expect(await estimateSeconds(little, await openModel(folder), options)).toBeUndefined();
    await rm(folder, { recursive: true });
  });
});
