import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../../../extension/core/data/random';
import { int8Copy } from '../../../extension/core/models/int8-copy';
import type { LayeredModel } from '../../../extension/core/models/layered-model';
import { openModel } from '../../../extension/core/models/open-model';
import { defaultSettings } from '../../../extension/core/prune/options';
import { expectedWork, totalWork } from '../../../extension/core/prune/expected-work';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { leastMemory } from '../../../extension/core/runtime/memory-shares';
import { makeRandomModel } from '../random-model';
import { runSearch } from './run-search';

const shape = { seed: 11, blocks: 6, inner: 1024, vocabulary: 6400 };
const [count, length] = [4, 256];
const rounds = 3;
const settings = { ...defaultSettings, budget: { kind: 'count', count: rounds } } as const;
let folder = '';
/** Its weights are computed when sessions are opened, as those of GGUF files: they aren't mapped. */
let rounded: LayeredModel;
let sequences: number[][];
beforeAll(async () => {
  folder = await makeRandomModel(shape);
  const model = await openModel(folder);
  rounded = int8Copy(model) ?? expect.unreachable();
  const random = seededRandom(3);
  sequences = Array.from({ length: count }, () =>
    Array.from({ length }, () => Math.floor(random() * shape.vocabulary)),
  );
});
afterAll(async () => rm(folder, { recursive: true }));

/** Searches with the least memory for the model and its copy, in which most sessions are opened for each pass. */
async function searchStreamed(): Promise<{
  readonly model: LayeredExecutor;
  readonly copy: LayeredExecutor;
  readonly removed: readonly string[];
}> {
  const model = new LayeredExecutor(rounded, 'cpu', leastMemory(rounded, 'cpu'));
  const copyBytes = leastMemory(rounded, 'cpu', false);
  const copy = new LayeredExecutor(rounded, 'cpu', copyBytes, { around: model });
  try {
    const found = await runSearch({ folder, sequences, settings, executor: model, copy });
    return { model, copy, removed: found.rounds.map(({ removed }) => removed) };
  } finally {
    await copy.dispose();
    await model.dispose();
  }
}

/** Passes through the streamed sublayers by the sessions that were opened, at least. */
const passes = ({ openings, streamed, model }: LayeredExecutor): number =>
  (openings.sessions - (model.summary.sublayers.length - streamed.size)) / streamed.size;

describe('a search whose sessions do not fit in memory', () => {
  it('opens the estimated number of sessions, with the same result', async () => {
    const { model, copy, removed } = await searchStreamed();
    expect(model.streamed.size).toBeGreaterThan(0);
    const expected = totalWork(
      expectedWork(settings, rounded.summary, count * length, { executor: model, copy }),
    );
    const modelPasses = expected.model.passes(model);
    expect(modelPasses / passes(model)).toBeGreaterThan(2 / 3);
    expect(modelPasses / passes(model)).toBeLessThan(3 / 2);
    const copyPasses = expected.copy.passes(copy);
    expect(copyPasses / passes(copy)).toBeGreaterThan(2 / 3);
    expect(copyPasses / passes(copy)).toBeLessThan(3 / 2);
    const roomy = new LayeredExecutor(rounded, 'cpu', 1 << 28);
    const roomyCopy = new LayeredExecutor(rounded, 'cpu', 1 << 28, { around: roomy });
    try {
      const alone = { ...settings, baselines: [] };
      const run = { folder, sequences, settings: alone };
      const found = await runSearch({ ...run, executor: roomy, copy: roomyCopy });
      expect(removed).toEqual(found.rounds.map((round) => round.removed));
      expect(roomyCopy.openings.sessions).toBe(rounded.summary.sublayers.length);
    } finally {
      await roomyCopy.dispose();
      await roomy.dispose();
    }
  });
});
