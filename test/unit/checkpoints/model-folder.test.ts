import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { locateModel } from '../../../extension/core/checkpoints/model-folder';
import { UserError } from '../../../extension/core/user-error';
import type { Failure } from '../fail-with';
import { fixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';

const root = temporaryFolder();
let folders = 0;

function folderWith(...names: readonly string[]): string {
  const folder = join(root, String(folders++));
  mkdirSync(folder);
  for (const name of names) {
    writeFileSync(join(folder, name), '');
  }
  return folder;
}

async function refusal(path: string): Promise<UserError> {
  const error: unknown = await locateModel(path).then(
    () => new Error('the folder was accepted'),
    (failure: unknown) => failure,
  );
  expect(error).toBeInstanceOf(UserError);
  return error as UserError;
}

describe('a model folder', () => {
  it.each(['', 'config.json', 'model.safetensors.index.json', 'model-00002-of-00003.safetensors'])(
    'is found by its own path or by the path of %j in it',
    async (name) => {
      expect(await locateModel(fixture('llama-sharded', name))).toEqual({
        path: fixture('llama-sharded'),
        name: 'llama-sharded',
        config: fixture('llama-sharded', 'config.json'),
        weights: fixture('llama-sharded', 'model.safetensors.index.json'),
      });
    },
  );

  it.each([
    [['model.safetensors', 'model.safetensors.index.json'], 'model.safetensors'],
    [['model.safetensors', 'adapter.safetensors'], 'model.safetensors'],
    [
      ['model.fp16.safetensors.index.json', 'a.safetensors', 'b.safetensors'],
      'model.fp16.safetensors.index.json',
    ],
    [['weights.safetensors', 'pytorch_model.bin'], 'weights.safetensors'],
  ])('with %j is read from %s', async (names, weights) => {
    const folder = folderWith('config.json', ...names);
    expect((await locateModel(folder)).weights).toBe(join(folder, weights));
  });

  it.each<[string, Failure]>([
    ['config.json', { code: 'weights-missing', file: expect.any(String) }],
    ['pytorch_model.bin', { code: 'weights-pickled', file: expect.any(String) }],
    [
      'a.safetensors b.safetensors',
      { code: 'safetensors-index-missing', file: expect.any(String) },
    ],
  ])('is refused if it contains only %s', async (names, message) => {
    const folder = folderWith('config.json', ...names.split(' '));
    const error = await refusal(folder);
    expect(error).toFailWith(message);
    expect(error.subject.file).toBe(folder);
  });

  it('without config.json is refused', async () => {
    const folder = folderWith('model.safetensors');
    const error = await refusal(folder);
    expect(error).toFailWith({ code: 'config-missing', file: expect.any(String) });
    expect(error.subject.file).toBe(folder);
  });

  it('without config.json is refused by the name of the file in it that was chosen', async () => {
    const file = join(folderWith('model.safetensors', 'other.json'), 'other.json');
    const error = await refusal(file);
    expect(error).toFailWith({ code: 'config-missing', file: 'other.json' });
    expect(error.subject.file).toBe(file);
  });

  it('is named in the error by the given path if it is missing', async () => {
    expect((await refusal('no/such/model')).message).toBe(
      'no/such/model: There is no such file or folder. Check the path.',
    );
  });
});
