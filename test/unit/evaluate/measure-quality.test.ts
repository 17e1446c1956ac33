import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { readExcerpts, readTokens } from '../../../extension/core/data/text-tokens';
import { evaluateModels } from '../../../extension/core/evaluate/evaluate-models';
import { comparedMemory, measureQuality } from '../../../extension/core/evaluate/measure-quality';
import { readHeldOut } from '../../../extension/core/evaluate/held-out';
import { evaluatePerplexity, modelWindowLength } from '../../../extension/core/evaluate/perplexity';
import { perplexityByRounds } from '../../../extension/core/evaluate/perplexity-of-rounds';
import { applyPlan } from '../../../extension/core/pipelines/apply-plan';
import { unattended } from '../../../extension/core/jobs/job';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { ownMemory } from '../../../extension/core/runtime/limits/process-memory';
import { leastMemory } from '../../../extension/core/runtime/memory-shares';
import { countPositions } from '../../../extension/core/runtime/windows';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { familyFixture, fixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';

const original = fixture('llama-gqa-untied');
const folder = temporaryFolder();
const run = { device: 'cpu', memoryBytes: 1 << 30 } as const;
const text = join(folder, 'held-out.txt');

it('finds no distance between a model and itself', async () => {
  await writeFile(text, 'the quick brown fox jumps over the lazy dog. '.repeat(40));
  const model = await openModelFiles(original);
  const quality = await measureQuality(
    { original: model, changed: model, text, ...run },
    unattended,
  );
  expect(quality.metric).toBe('js');
  expect(quality.distance).toBeCloseTo(0, 9);
  expect(quality.top1Agreement).toBe(1);
  expect(quality.perplexity?.before).toBe(quality.perplexity?.after);
});

it('runs the models in turn if memory fits only one of them, and none that does not fit', async () => {
  const model = await openModelFiles(fixture('llama-bf16'));
  const least = leastMemory(model.model, 'cpu');
  const rest = vi.spyOn(LayeredExecutor.prototype, 'rest');
  const measure = async (memoryBytes: number): ReturnType<typeof measureQuality> =>
    measureQuality({ original: model, changed: model, text, ...run, memoryBytes }, unattended);
  const together = await measure(2 * least);
  // Each is disposed at the end.
  expect(rest).toHaveBeenCalledTimes(2);
  rest.mockClear();
  expect(await measure(1.9 * least)).toEqual(together);
  expect(rest.mock.calls.length).toBeGreaterThan(2);
  await expect(measure(0.9 * least)).rejects.toFailWith({
    code: 'memory-too-small',
    file: 'llama-bf16',
    field: 'memory',
  });
  const room = vi.spyOn(ownMemory, 'availableBytes').mockReturnValue(0.9 * least);
  await expect(measure(2 * least)).rejects.toFailWith({
    ...{ code: 'memory-too-small', file: 'llama-bf16', field: 'memory' },
    remedy: /close other programs/,
  });
  room.mockRestore();
  rest.mockRestore();
});

it('compares memory with caches if both models have them', async () => {
  const measureMemory = async (path: string): Promise<unknown> => {
    const model = await openModelFiles(path);
    return (await measureQuality({ original: model, changed: model, text, ...run }, unattended))
      .memory;
  };
  const { model } = await openModelFiles(original);
  expect(await measureMemory(original)).toEqual(comparedMemory(model, model).memory);
  expect(await measureMemory(familyFixture('electra'))).toBeUndefined();
  // Cache sizes of a graph are unknown if its streams are not followed.
  const sublayers = model.summary.sublayers.map((one) => ({ ...one, kvBytesPerToken: 0 }));
  const graph = { kind: 'graph' as const, summary: { ...model.summary, sublayers } };
  expect(comparedMemory(model, graph)).toEqual({});
  expect(comparedMemory(graph, graph).memory).toBeDefined();
});

it('returns the perplexities of both models, equal to an evaluation of the same tokens', async () => {
  const out = join(folder, 'pruned');
  const plan = {
    format: 'espalier.plan',
    version: 1,
    model: { path: original },
    remove: ['block.1.attention', 'block.2.feedforward'],
  } as const;
  const model = await openModelFiles(original);
  await applyPlan({ model, plan, out, overwrite: false, ...run }, unattended);
  const changed = await openModelFiles(out);
  const { perplexity, distance, positions } = await measureQuality(
    { original: model, changed, text, ...run },
    unattended,
  );
  expect(distance).toBeGreaterThan(0);
  for (const [path, measured] of [
    [original, perplexity?.before],
    [out, perplexity?.after],
  ] as const) {
    const executor = new LayeredExecutor(await openModel(path), 'cpu', run.memoryBytes);
    const ids = await readHeldOut(text, executor.model, modelWindowLength(executor.model));
    expect(positions).toBe(ids.reduce((sum, window) => sum + countPositions(window), 0));
    const expected = await evaluatePerplexity(executor, ids, {}, unattended);
    await executor.dispose();
    expect(measured).toBeCloseTo(expected.perplexity, 2);
    expect(perplexity?.tokens).toBe(expected.tokens);
  }
});

it('measures perplexities of a search on the windows of an evaluation, or the first ones if all take long', async () => {
  const executor = new LayeredExecutor(await openModel(original), 'cpu', run.memoryBytes);
  try {
    const { model } = executor;
    const { maxPositions: length = 256 } = model.summary;
    const removed = ['block.1.attention', 'block.2.feedforward'];
    const heldOutText = { file: text, name: 'bundled' };
    const measure = async (secondsPerToken: number) =>
      perplexityByRounds({ executor, removed, secondsPerToken }, heldOutText, unattended);
    expect(await measure(1)).toEqual([]);
    expect(await measure(Number.NaN)).toEqual([]);
    const { evaluations: before } = executor;
    const found = await measure(1e-6);
    expect(found.map(({ rounds }) => rounds)).toEqual([0, 2]);
    const sublayers = model.summary.sublayers.length;
    const windows = Math.ceil((found[0]?.tokens ?? 0) / (length - 1));
    // The original warms up the executor for both.
    expect(executor.evaluations - before).toBe(
      (windows + 1) * sublayers + windows * (sublayers - 2),
    );
    const opened = await openModelFiles(original);
    const evaluated = await evaluateModels(
      { model: opened, removed: [], text, ...run },
      unattended,
    );
    expect(found[0]).toMatchObject({ perplexity: evaluated.perplexity, tokens: evaluated.tokens });
    const [some] = await measure(10 / (2 * length * 4));
    expect(some).toMatchObject({ partial: true, tokens: 3 * (length - 1) });
  } finally {
    await executor.dispose();
  }
});

it('reads the same first tokens of a part of a text as of the whole, and equal numbers of excerpts', async () => {
  const model = await openModel(original);
  const whole = await readTokens(text, model);
  expect(await readTokens(text, model, 40)).toEqual(whole.slice(0, 40));
  expect(await readTokens(text, model, whole.length + 1)).toEqual(whole);
  expect(await readExcerpts(text, model, { count: 4, length: 16 })).toHaveLength(64);
  const more = await readExcerpts(text, model, { count: 4, length: whole.length });
  expect(more).toEqual(whole);
});
