import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { unattended } from '../../../extension/core/jobs/job';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { applyPlan } from '../../../extension/core/pipelines/apply-plan';
import { planFor } from '../../../extension/core/plans/plan';
import type { Plan } from '../../../extension/core/plans/plan';
import { rejection } from '../export/pruning';
import { fixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';

const root = temporaryFolder();

it('a model that needs more memory than the setting is refused before anything is written', async () => {
  const source = fixture('llama-gqa-untied');
  const out = join(root, 'too-large');
  const how = {
    out,
    format: 'onnx',
    overwrite: false,
    device: 'cpu',
    memoryBytes: 1 << 20,
  } as const;
  const plan = planFor({ path: source }, {});
  const applied = applyPlan({ model: await openModelFiles(source), plan, ...how }, unattended);
  const error = await rejection(applied);
  expect(error).toMatchObject({ subject: { field: 'memory' } });
  expect(error).toFailWith({
    code: 'memory-too-small',
    file: 'llama-gqa-untied',
    field: 'memory',
    remedy: /Set the memory to at least/,
  });
  expect(existsSync(out)).toBe(false);
});

describe('types of GGUF tensors', () => {
  it.each([
    ['of the plan', { types: { 'blk.0.ffn_down.weight': 'Q8_0' } }, {}, 'types'],
    ['of the request', {}, { types: { mix: 'Q8_0' } }, 'type'],
  ] as const)('%s are refused if the plan compresses', async (_, planned, asked, field) => {
    const source = fixture('llama-gqa-untied');
    const plan: Plan = {
      ...{ format: 'espalier.plan', version: 1, model: { path: source }, remove: [] },
      compress: [{ tensor: 'model.layers.0.mlp.down_proj.weight', method: 'int8', setting: 32 }],
      ...planned,
    };
    const out = join(root, field);
    const application = { model: await openModelFiles(source), plan, out, ...asked };
    await expect(
      applyPlan(
        { ...application, overwrite: false, device: 'cpu', memoryBytes: 1 << 28 },
        unattended,
      ),
    ).rejects.toFailWith({ code: 'plan-mixes-types', field });
    expect(existsSync(out)).toBe(false);
  });
});
