import { existsSync } from 'node:fs';
import { cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { keepsLimits } from '../../../extension/core/operations/requirement-fields';
import type { Plan } from '../../../extension/core/plans/plan';
import { unattended } from '../../../extension/core/jobs/job';
import { ModelCache } from '../../../extension/core/models/model-cache';
import { applyAndMeasure } from '../../../extension/core/operations/apply-plan';
import type { OperationContext } from '../../../extension/core/operations/operation';
import { fixture } from '../fixtures';
import { onnxFixture } from '../onnx-fixtures';
import { temporaryFolder } from '../temporary-folder';
import { inEnglish } from '../../../extension/core/message';

const path = fixture('llama-gqa-untied');
const folder = temporaryFolder();
const models = new ModelCache({ capacity: 2 });
const environment: OperationContext['environment'] = {
  samples: join(import.meta.dirname, '../../../samples'),
  ...{ version: 'test', costsFolder: '' },
  bundles: '',
  open: async (place) => models.open(place),
};
const plan: Plan = {
  ...{ format: 'espalier.plan', version: 1, model: { path } },
  remove: ['block.1.attention'],
};

it('reports the progress of the comparison with the original', async () => {
  const stages = new Set<string>();
  const result = await applyAndMeasure(
    {
      ...{ model: await models.open(path), plan, out: join(folder, 'whole'), overwrite: false },
      ...{ device: 'cpu', memoryBytes: 1 << 28, judging: { quality: true, wholeText: false } },
    },
    { ...unattended, environment, progress: ({ stage }) => stages.add(inEnglish(stage)) },
  );
  expect(stages).toContain('Comparing with the original');
  expect(result.quality?.distance).toBeGreaterThan(0);
});

it('evaluates agreement over windows, with any other limits', async () => {
  const agreements = [];
  for (const limits of [['agreement>99%'], ['agreement>99%', 'perplexity<+900%']]) {
    const { verdict } = await applyAndMeasure(
      {
        ...{ model: await models.open(path), plan, out: join(folder, limits.join('')) },
        ...{ overwrite: false, device: 'cpu', memoryBytes: 1 << 28 },
        judging: { quality: true, require: limits, wholeText: false },
      },
      { ...unattended, environment },
    );
    agreements.push(verdict?.limits[0]?.measured);
  }
  expect(agreements[0]?.value).toBeLessThan(100);
  expect(agreements[0]).toEqual(agreements[1]);
});

it('judges by the speed here and by a task with shots', async () => {
  const task = join(folder, 'task.jsonl');
  const rows = Array.from({ length: 6 }, (_, i) => ({
    ...{ context: `the fox ${i} jumps`, choices: [' over', ' under'], answer: i % 2 },
  }));
  await writeFile(task, rows.map((row) => JSON.stringify(row)).join('\n'));
  const stages = new Set<string>();
  const { verdict } = await applyAndMeasure(
    {
      ...{ model: await models.open(path), plan, out: join(folder, 'judged'), overwrite: false },
      ...{ device: 'cpu', memoryBytes: 1 << 28 },
      judging: {
        quality: true,
        require: ['speed>-99%', 'task>-99pt'],
        wholeText: false,
        task,
        shots: 2,
      },
    },
    {
      ...{ ...unattended, environment },
      progress: ({ stage }) => stages.add(inEnglish(stage)),
    },
  );
  expect(verdict?.limits[0]).toMatchObject({ limit: 'speed>-99%', outcome: 'accept' });
  expect(verdict?.limits[1]?.measured).toBeDefined();
  expect(verdict?.speed?.before).toBeGreaterThan(0);
  expect(verdict?.speed?.after).toBeGreaterThan(0);
  expect(stages).toContain('Timing both models');
  // A file has fewer examples than few-shot examples.
  const much = { quality: true, require: ['task>-99pt'], wholeText: false, task, shots: 9 };
  const warnings: string[] = [];
  await applyAndMeasure(
    {
      ...{ model: await models.open(path), plan, out: join(folder, 'shots'), overwrite: false },
      ...{ device: 'cpu', memoryBytes: 1 << 28, judging: much },
    },
    { ...unattended, environment, warn: (text) => warnings.push(inEnglish(text)) },
  );
  expect(warnings.join()).toMatch(/5 examples to choose few-shot examples from, fewer than 9/);
});

it('keeps the written model if the comparison is canceled, and says so', async () => {
  const out = join(folder, 'cancelled');
  const cancellation = { isCancellationRequested: false };
  const warnings: string[] = [];
  const result = await applyAndMeasure(
    {
      ...{ model: await models.open(path), plan, out, overwrite: false },
      ...{ device: 'cpu', memoryBytes: 1 << 28 },
      judging: { quality: true, require: ['perplexity<+999%', 'size<-1%'], wholeText: false },
    },
    {
      ...unattended,
      ...{ environment, cancellation },
      warn: (text) => warnings.push(inEnglish(text)),
      progress: ({ stage }) => {
        cancellation.isCancellationRequested ||= inEnglish(stage) === 'Comparing with the original';
      },
    },
  );
  expect(result.path).toBe(out);
  expect(result.quality).toBeUndefined();
  expect(existsSync(join(out, 'config.json'))).toBe(true);
  expect(warnings).toEqual([
    `Wrote ${out}. Quality was not measured.`,
    'There is not enough evidence for a verdict, because measuring was canceled.',
  ]);
  expect(result.verdict?.limits.map(({ outcome }) => outcome)).toEqual([
    'not enough evidence',
    'accept',
  ]);
  expect(keepsLimits(result)).toBe(false);
});

it('keeps the written model if the models cannot be compared, and explains why', async () => {
  const graph = join(folder, 'graph.onnx');
  await cp(onnxFixture('gpt2-merged'), graph);
  // Its graph does not say that it has 64 positions; the comparison's windows are longer.
  const vocab = Object.fromEntries(
    ['?', ...'abcdefghijklmnopqrstuvwxyz '.split('')].map((x, id) => [x, id]),
  );
  const tokenizer = {
    ...{ version: '1.0', added_tokens: [], normalizer: { type: 'Lowercase' } },
    ...{ pre_tokenizer: null, post_processor: null, decoder: null },
    model: { type: 'BPE', unk_token: '?', vocab, merges: [] },
  };
  await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
  const out = join(folder, 'graph-pruned');
  const warnings: string[] = [];
  const result = await applyAndMeasure(
    {
      ...{ model: await models.open(graph), plan: { ...plan, model: { path: graph } }, out },
      ...{ overwrite: false, device: 'cpu', memoryBytes: 1 << 28 },
      judging: { quality: true, require: ['agreement>50%'], wholeText: false },
    },
    { ...unattended, environment, warn: (text) => warnings.push(inEnglish(text)) },
  );
  expect(result.quality).toBeUndefined();
  expect(keepsLimits(result)).toBe(false);
  expect(existsSync(join(out, 'graph.onnx'))).toBe(true);
  expect(warnings).toContainEqual(
    expect.stringMatching(/^Wrote .*graph-pruned.*, but it can't be compared.*out of data bounds/),
  );
});
