import { cpSync, renameSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { ModelCache } from '../../../extension/core/models/model-cache';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { fixture } from '../fixtures';
import { ggufFixture } from '../gguf-fixtures';
import { onnxFixture } from '../onnx-fixtures';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
let count = 0;

/** A copy of a folder, whose files may be changed. */
function copyModel(name: string): string {
  const path = join(folder, String(count++));
  cpSync(fixture(name), path, { recursive: true });
  return path;
}

/** Makes a file look as if it was written later. */
function touch(file: string): void {
  const { atime, mtimeMs } = statSync(file);
  utimesSync(file, atime, new Date(mtimeMs + 5000));
}

describe('a cache of models', () => {
  let cache: ModelCache;
  let asked: string[];

  beforeEach(() => {
    asked = [];
    cache = new ModelCache({
      capacity: 2,
      open: async (path) => {
        asked.push(path);
        return openModelFiles(path);
      },
    });
  });

  it('returns one model to concurrent and later callers, by folder or file', async () => {
    const path = copyModel('llama-gqa-untied');
    const [first, second] = await Promise.all([
      cache.open(path),
      cache.open(join(path, 'config.json')),
    ]);
    expect(second).toBe(first);
    expect(await cache.open(join(path, 'model.safetensors'))).toBe(first);
    expect(await cache.open(path)).toBe(first);
    expect(cache.reads).toBe(1);
    expect(asked).toEqual([path]);
  });

  it.each([
    ['the config', 'config.json'],
    ['the weights', 'model.safetensors'],
    ['the tokenizer', 'tokenizer.json'],
  ])('reads a model again when %s is written', async (_, name) => {
    const path = copyModel('llama-gqa-untied');
    const before = await cache.open(path);
    touch(join(path, name));
    expect(await cache.open(path)).not.toBe(before);
    expect(cache.reads).toBe(2);
  });

  it('notices a new tokenizer', async () => {
    const path = copyModel('llama-gqa-untied');
    renameSync(join(path, 'tokenizer.json'), join(folder, 'away.json'));
    expect((await cache.open(path)).capabilities.readText).toMatchObject({ code: 'no-tokenizer' });
    renameSync(join(folder, 'away.json'), join(path, 'tokenizer.json'));
    expect((await cache.open(path)).capabilities.readText).toEqual({ able: true });
  });

  it('reads a model again that changed while it was read', async () => {
    const path = copyModel('llama-gqa-untied');
    const changing = new ModelCache({
      capacity: 2,
      open: async (place) => {
        const opened = await openModelFiles(place);
        touch(join(path, 'config.json'));
        return opened;
      },
    });
    await changing.open(path);
    await changing.open(path);
    expect(changing.reads).toBe(2);
  });

  it('keeps those asked for last', async () => {
    const [a, b, c] = [
      fixture('llama-gqa-untied'),
      ggufFixture('llama.gguf'),
      onnxFixture('gpt2-past'),
    ];
    await cache.open(a);
    await cache.open(b);
    await cache.open(a);
    await cache.open(c);
    expect(cache.reads).toBe(3);
    await cache.open(a);
    expect(cache.reads).toBe(3);
    await cache.open(b);
    expect(cache.reads).toBe(4);
  });

  it('keeps no failure', async () => {
    const path = copyModel('llama-gqa-untied');
    const config = join(path, 'config.json');
    cpSync(config, join(folder, 'whole.json'));
    writeFileSync(config, '{');
    await expect(Promise.all([cache.open(path), cache.open(path)])).rejects.toFailWith({
      code: 'json-malformed',
      file: 'config.json',
    });
    cpSync(join(folder, 'whole.json'), config);
    expect((await cache.open(path)).summary.architecture).toBe('llama');
    await expect(cache.open(join(folder, 'nowhere'))).rejects.toFailWith({
      code: 'path-missing',
      file: 'nowhere',
    });
  });
});
