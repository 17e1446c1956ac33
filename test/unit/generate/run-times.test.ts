import { join } from 'node:path';
import { expect, it } from 'vitest';
import { measureRunTimes } from '../../../extension/core/generate/run-times';
import { CancelledError } from '../../../extension/core/jobs/job';
import { inEnglish } from '../../../extension/core/message';
import type { Message } from '../../../extension/core/message';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { runVariants } from '../../../extension/core/tensornet/sensitivity/run-variants';
import type { SensitivitySettings } from '../../../extension/core/tensornet/sensitivity/sensitivity-profile';
import { fixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';

const sample = join(import.meta.dirname, '../../../samples/espalier-sample');
const graph = join(import.meta.dirname, '../../fixtures/onnx/gpt2-past');
const warnings: string[] = [];
const context = {
  ...{ cancellation: { isCancellationRequested: false }, progress: () => undefined },
  warn: (message: Message) => void warnings.push(inEnglish(message)),
};

const settings: SensitivitySettings = {
  metric: 'js',
  ...{ roles: [], blocks: [], precision: 0, seed: 0 },
  compressions: [{ method: 'int8' }, { method: 'lowrank' }],
  widths: [0.5],
};

it('times a token of a model, without all sublayers of each kind, and with all width-pruned and compressed', async () => {
  const opened = await openModelFiles(fixture('llama-gqa-untied'));
  const where = { device: 'cpu', memoryBytes: 2 ** 30 } as const;
  const folder = temporaryFolder();
  const variants = runVariants({ opened, settings, ...where, folder });
  const times = await measureRunTimes(opened.model, variants, { ...where, enough: 0 }, context);
  expect(times?.changed).toMatchObject([
    { change: 'without', kind: 'attention' },
    { change: 'without', kind: 'feedforward' },
    { change: 'width-pruned', of: 'groups' },
    { change: 'width-pruned', of: 'channels' },
    { change: 'compressed', as: 'int8' },
    { change: 'compressed', as: 'int8:0' },
    { change: 'compressed', as: 'lowrank' },
  ]);
  for (const { decodeMsPerToken, prefillMsPerToken } of times?.changed ?? []) {
    expect(decodeMsPerToken).toBeGreaterThan(0);
    expect(prefillMsPerToken).toBeGreaterThan(0);
  }
  const { sublayers } = opened.model.summary;
  for (const { change, removed = [] } of variants.slice(0, 2)) {
    const left = sublayers.filter(({ id }) => !removed.includes(id));
    expect(left).toHaveLength(sublayers.length / 2);
    expect(left.every(({ kind }) => 'kind' in change && kind !== change.kind)).toBe(true);
  }
});

it('skips models that do not fit in memory twice', async () => {
  const model = await openModel(sample);
  const memoryBytes = 1.5 * 4 * model.summary.parameters;
  expect(
    await measureRunTimes(model, [], { device: 'cpu', memoryBytes, enough: 0 }, context),
  ).toBeUndefined();
});

it('warns if the model cannot run on a text of this length, and forwards a cancellation', async () => {
  const model = await openModel(graph);
  const where = { device: 'cpu', memoryBytes: 2 ** 30, enough: 0 } as const;
  const variants = [{ change: {}, open: async () => Promise.resolve(model) }];
  expect(await measureRunTimes(model, variants, where, context)).toBeUndefined();
  expect(warnings.join()).toMatch(
    /^The full model can't be timed, so budgets in milliseconds count only .*: .*out of data bounds/,
  );
  const cancelled = { ...context, cancellation: { isCancellationRequested: true } };
  await expect(measureRunTimes(model, variants, where, cancelled)).rejects.toThrow(CancelledError);
});
