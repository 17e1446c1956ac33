import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { Plan } from '../../../extension/core/export/plan';
import { unattended } from '../../../extension/core/jobs/job';
import { ModelCache } from '../../../extension/core/models/model-cache';
import { applyAndMeasure } from '../../../extension/core/operations/apply-plan';
import type { OperationContext } from '../../../extension/core/operations/operation';
import { fixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';

const path = fixture('llama-gqa-untied');
const folder = temporaryFolder();
const models = new ModelCache({ capacity: 2 });
const environment: OperationContext['environment'] = {
  samples: join(import.meta.dirname, '../../../samples'),
  ...{ version: 'test', costsFolder: '' },
  processes: { run: async () => Promise.reject(new Error('no processes')) },
  open: async (place) => models.open(place),
};
const plan: Plan = {
  ...{ format: 'espalier.plan', version: 1, model: { path } },
  remove: ['block.1.attention'],
};

it('tells how far the comparison with the original is', async () => {
  const stages = new Set<string>();
  const result = await applyAndMeasure(
    {
      ...{ model: await models.open(path), plan, out: join(folder, 'whole'), overwrite: false },
      ...{ device: 'cpu', memoryBytes: 1 << 28, quality: true },
    },
    { ...unattended, environment, progress: ({ stage }) => stages.add(stage) },
  );
  expect(stages).toContain('Comparing with the original');
  expect(result.quality?.distance).toBeGreaterThan(0);
});

it('keeps the written model where the comparison is cancelled, and says so', async () => {
  const out = join(folder, 'cancelled');
  const cancellation = { isCancellationRequested: false };
  const warnings: string[] = [];
  const result = await applyAndMeasure(
    {
      ...{ model: await models.open(path), plan, out, overwrite: false },
      ...{ device: 'cpu', memoryBytes: 1 << 28, quality: true },
    },
    {
      ...unattended,
      ...{ environment, cancellation },
      warn: (text) => warnings.push(text),
      progress: ({ stage }) => {
        cancellation.isCancellationRequested = stage === 'Comparing with the original';
      },
    },
  );
  expect(result.path).toBe(out);
  expect(result.quality).toBeUndefined();
  expect(existsSync(join(out, 'config.json'))).toBe(true);
  expect(warnings).toEqual([`${out} is written, but not compared with the original.`]);
});
