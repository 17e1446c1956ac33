import { join } from 'node:path';
import { expect, it } from 'vitest';
import { measureRunTimes } from '../../../extension/core/generate/run-times';
import { openModel } from '../../../extension/core/models/open-model';

const sample = join(import.meta.dirname, '../../../samples/espalier-sample');
const context = { cancellation: { isCancellationRequested: false }, progress: () => undefined };

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
