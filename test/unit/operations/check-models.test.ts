import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ModelCache } from '../../../extension/core/models/model-cache';
import { asSetting, buildRequest } from '../../../extension/core/operations/build-request';
import { checkModels } from '../../../extension/core/operations/estimate';
import type { AnyOperation } from '../../../extension/core/operations/operation';
import { operations } from '../../../extension/core/operations/operations';
import type { OperationId } from '../../../extension/core/operations/operations';
import { ggufFixture } from '../gguf-fixtures';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const sample = join(import.meta.dirname, '../../../samples/espalier-sample');
const models = new ModelCache({ capacity: 2 });
const check = async (id: OperationId, given: object): Promise<void> => {
  const declared = operations as unknown as readonly AnyOperation[];
  const operation = declared.find((one) => one.id === id);
  if (operation === undefined) throw new Error(id);
  const request = buildRequest(operation, given, { name: asSetting(operation.fields) });
  await checkModels({ operation: id, request }, async (path) => models.open(path));
};

/** The sample without its tokenizer. */
const mute = join(folder, 'mute');
cpSync(sample, mute, { recursive: true });
rmSync(join(mute, 'tokenizer.json'));

describe('models of a job', () => {
  it.each<[OperationId, object]>([
    ['profile', { out: 'a' }],
    ['sensitivity', { out: 'a', calibration: 'a.txt' }],
    ['fit', { out: 'a', size: '50%' }],
    ['evaluate', { out: 'a' }],
    ['score-text', { out: 'a' }],
  ])('are refused by %s without a tokenizer', async (operation, request) => {
    await expect(check(operation, { model: mute, ...request })).rejects.toThrow(/mute.*tokenizer/);
    await check(operation, { model: sample, ...request });
  });

  it.each<[OperationId, object]>([
    ['profile', { model: mute, out: 'a', calibration: 'random' }],
    ['profile', { model: mute, out: 'a', calibration: 'a.npy' }],
    ['fit', { model: mute, out: 'a', size: 'Q8_0' }],
    ['profile', { model: join(folder, 'written-by-an-earlier-job'), out: 'a' }],
    ['evaluate', { model: sample, out: 'a' }],
    ['convert', { model: mute, out: 'a' }],
  ])('are taken by %s if it needs no tokenizer or they are not there yet', async (...asked) => {
    await check(...asked);
  });

  it('are both checked in a comparison, GGUF files included', async () => {
    const model = ggufFixture('llama-rope.gguf');
    await expect(check('evaluate', { model: sample, against: mute })).rejects.toThrow(/mute/);
    await expect(check('evaluate', { model: sample, against: model })).rejects.toThrow(
      /has no tokenizer/,
    );
  });
});
