import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { measureDrift, placesIn } from '../../../extension/core/evaluate/drift';
import type { Drift, DriftRequest } from '../../../extension/core/evaluate/drift';
import { applyRequestedChanges } from '../../../extension/core/evaluate/evaluate-models';
import { inputsToCompare } from '../../../extension/core/evaluate/measure-quality';
import { unattended } from '../../../extension/core/jobs/job';
import { ModelCache } from '../../../extension/core/models/model-cache';
import { applyPlan } from '../../../extension/core/pipelines/apply-plan';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { floatsIn } from '../../../extension/core/runtime/tensors';
import { fixture } from '../fixtures';
import { onnxFixture } from '../onnx-fixtures';
import { makeRandomModel } from '../random-model';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const text = join(folder, 'text.txt');
await writeFile(text, 'the quick brown fox jumps over the lazy dog. '.repeat(20));
const run = { text, device: 'cpu', memoryBytes: 1 << 28 } as const;

const models = new ModelCache({ capacity: 8 });
const original = await models.open(fixture('llama-gqa-untied'));
const places = original.summary.sublayers.map((_, index) => index);
const without = async (...removed: readonly string[]): Promise<DriftRequest['changed']> => ({
  ...(await applyRequestedChanges({ model: original, removed })),
  places,
});
const measure = async (changed: DriftRequest['changed']): Promise<Drift> =>
  measureDrift({ original, changed, ...run }, unattended);

it("is zero before a plan's first removal, and equals the missing part after it", async () => {
  const short = join(folder, 'short.txt');
  await writeFile(short, 'the quick brown fox');
  const changed = await without('block.1.attention');
  const { sublayers, positions } = await measureDrift(
    { original, changed, ...run, text: short },
    unattended,
  );
  const ids = original.summary.sublayers.map(({ id }) => id);
  expect(sublayers.map(({ sublayer }) => sublayer)).toEqual(ids);
  const at = ids.indexOf('block.1.attention');
  expect(sublayers.flatMap(({ removed }, i) => (removed ? i : []))).toEqual([at]);
  for (const { relativeError, cosine } of sublayers.slice(0, at)) {
    expect(relativeError).toBe(0);
    expect(cosine).toBeCloseTo(1, 6);
  }

  const { inputs } = await inputsToCompare(original.model, { text: short });
  const window = inputs[0] instanceof Int32Array ? inputs[0] : new Int32Array();
  expect(positions).toBe(window.length);
  const executor = new LayeredExecutor(original.model, 'cpu', 1 << 28);
  let state = await executor.embed(window);
  for (let index = 0; index < at; index++) {
    [state = state] = await executor.pass(index, [state], new Set());
  }
  const [behind = state] = await executor.pass(at, [state], new Set());
  await executor.dispose();
  const [whole, lacking] = [behind, state].map(({ values }) =>
    Object.values(values).flatMap((tensor) => [...floatsIn(tensor)]),
  );
  const width = (whole?.length ?? 0) / window.length;
  const squares = Array.from(window, (_, row) => {
    const [a = [], b = []] = [whole, lacking].map((all) =>
      all?.slice(row * width, (row + 1) * width),
    );
    return (Math.hypot(...a.map((x, i) => x - (b[i] ?? 0))) / Math.hypot(...a)) ** 2;
  });
  const expected = Math.sqrt(squares.reduce((sum, square) => sum + square, 0) / window.length);
  expect(sublayers[at]?.relativeError).toBeCloseTo(expected, 6);
});

it('is as large for the model that is written as for the plan', async () => {
  const out = join(folder, 'written');
  const plan = { format: 'espalier.plan', version: 1, model: { path: original.path } } as const;
  await applyPlan(
    {
      ...{ model: original, out, overwrite: false, device: 'cpu', memoryBytes: 1 << 28 },
      plan: { ...plan, remove: ['block.0', 'block.1.feedforward'] },
    },
    unattended,
  );
  const written = await models.open(out);
  const found = await measure({
    ...{ model: written.model, removed: new Set<number>() },
    places: await placesIn(written, original),
  });
  const planned = await measure(await without('block.0', 'block.1.feedforward'));
  expect(found.sublayers.map(({ removed }) => removed)).toEqual(
    planned.sublayers.map(({ removed }) => removed),
  );
  const own = written.summary.sublayers.map(({ id }) => id);
  expect(found.sublayers.flatMap(({ place }) => place ?? [])).toEqual(own);
  for (const [i, { relativeError }] of found.sublayers.entries()) {
    expect(relativeError).toBeCloseTo(planned.sublayers[i]?.relativeError ?? Number.NaN, 4);
  }
});

it('reports the token with the largest drift', async () => {
  const { sublayers, starts, startsAt = [] } = await measure(await without('block.0.feedforward'));
  expect(starts).toBe('block.0.feedforward');
  const start = sublayers.find(({ sublayer }) => sublayer === starts);
  expect(startsAt[0]).toEqual(start?.worst);
  const errors = startsAt.map(({ relativeError }) => relativeError);
  expect(errors).toHaveLength(5);
  expect(errors).toEqual([...errors].sort((a, b) => b - a));
  const worst = sublayers.at(-1)?.worst;
  expect(worst?.token).toBeTypeOf('string');
  expect(worst?.relativeError).toBeGreaterThanOrEqual(sublayers.at(-1)?.relativeError ?? 1);
});

it('is measured on graphs of other tools', async () => {
  const graph = await models.open(onnxFixture('gpt2-past'));
  const [first] = graph.summary.sublayers;
  const changed = await applyRequestedChanges({ model: graph, removed: [first?.id ?? ''] });
  const own = graph.summary.sublayers.map((_, index) => index);
  const { sublayers } = await measureDrift(
    { original: graph, changed: { ...changed, places: own }, ...run },
    unattended,
  );
  expect(sublayers[0]).toMatchObject({ removed: true });
  expect(sublayers[0]?.relativeError).toBeGreaterThan(0.001);
});

it('needs a model that was made from the other', async () => {
  const other = await models.open(await makeRandomModel({ seed: 3, blocks: 5 }));
  await expect(placesIn(other, original)).rejects.toFailWith({
    code: 'sublayers-not-matching',
    file: expect.any(String),
  });
});
