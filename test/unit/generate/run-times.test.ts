import { join } from 'node:path';
import { expect, it } from 'vitest';
import { measureRunTimes } from '../../../extension/core/generate/run-times';
import { CancelledError } from '../../../extension/core/jobs/job';
import { inEnglish } from '../../../extension/core/message';
import type { Message } from '../../../extension/core/message';
import { openModel } from '../../../extension/core/models/open-model';

const sample = join(import.meta.dirname, '../../../samples/espalier-sample');
const graph = join(import.meta.dirname, '../../fixtures/onnx/gpt2-past');
const warnings: string[] = [];
const context = {
  ...{ cancellation: { isCancellationRequested: false }, progress: () => undefined },
  warn: (message: Message) => void warnings.push(inEnglish(message)),
};

it('times a token of a model, and without all sublayers of each kind', async () => {
  const model = await openModel(sample);
  const times = await measureRunTimes(model, { device: 'cpu', memoryBytes: 2 ** 30 }, context);
  expect(times?.without.map(({ kind }) => kind)).toEqual(['attention', 'feedforward']);
  for (const one of times?.without ?? []) {
    expect(one.decodeMsPerToken).toBeGreaterThan(0);
    expect(one.prefillMsPerToken).toBeLessThan(times?.whole.prefillMsPerToken ?? 0);
  }
});

it('times none that memory does not hold three times', async () => {
  const model = await openModel(sample);
  const memoryBytes = 2 * 4 * model.summary.parameters;
  expect(await measureRunTimes(model, { device: 'cpu', memoryBytes }, context)).toBeUndefined();
});

it('warns where the model cannot run on so long a text, and passes a cancellation on', async () => {
  const model = await openModel(graph);
  const where = { device: 'cpu', memoryBytes: 2 ** 30 } as const;
  expect(await measureRunTimes(model, where, context)).toBeUndefined();
  expect(warnings.join()).toMatch(
    /^The full model can't be timed, so budgets of milliseconds count .* only: .*out of data bounds/,
  );
  const cancelled = { ...context, cancellation: { isCancellationRequested: true } };
  await expect(measureRunTimes(model, where, cancelled)).rejects.toThrow(CancelledError);
});
