import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadTokenizer } from '../../../extension/core/data/tokenizer';
import { fixture, readJson } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();

function modelFolder(name: string, files: Readonly<Record<string, string>>): string {
  const path = join(folder, name);
  mkdirSync(path);
  for (const [file, text] of Object.entries(files)) {
    writeFileSync(join(path, file), text);
  }
  return path;
}

describe('the tokenizer of a model folder', () => {
  it('returns the ids of transformers, special tokens included', async () => {
    const tokenizer = await loadTokenizer(fixture('llama-gqa-untied'));
    const { samples } = readJson<{ samples: { text: string; ids: number[] }[] }>(
      'llama-gqa-untied',
      'golden-tokenizer.json',
    );
    expect(samples.length).toBeGreaterThan(4);
    for (const { text, ids } of samples) {
      expect([...tokenizer.encode(text)], text).toEqual(ids);
    }
  });

  it('needs no tokenizer_config.json', async () => {
    const path = modelFolder('alone', {});
    copyFileSync(fixture('llama-gqa-untied', 'tokenizer.json'), join(path, 'tokenizer.json'));
    const alone = await loadTokenizer(path);
    const whole = await loadTokenizer(fixture('llama-gqa-untied'));
    expect(alone.encode('The tree stays flat.')).toEqual(whole.encode('The tree stays flat.'));
  });

  it('reports a missing tokenizer, and lists the formats in the folder', async () => {
    await expect(loadTokenizer(modelFolder('none', {}))).rejects.toFailWith({
      code: 'no-tokenizer',
      file: 'tokenizer.json',
    });
    const other = modelFolder('other', { 'tokenizer.model': 'x', 'vocab.json': '{}' });
    await expect(loadTokenizer(other)).rejects.toFailWith({
      code: 'tokenizer-format-unsupported',
      file: 'tokenizer.json',
    });
  });

  it('stops a regular expression that backtracks exponentially', async () => {
    const path = modelFolder('backtracking', {});
    const definition = readJson<Record<string, unknown>>('llama-gqa-untied', 'tokenizer.json');
    const Regex = '(?:[A-Za-z ]+)+$!';
    const pre_tokenizer = {
      type: 'Split',
      pattern: { Regex },
      behavior: 'Isolated',
      invert: false,
    };
    writeFileSync(join(path, 'tokenizer.json'), JSON.stringify({ ...definition, pre_tokenizer }));
    const tokenizer = await loadTokenizer(path);
    expect(() => tokenizer.encode('a'.repeat(48))).toFailWith({
      code: 'tokenizer-too-slow',
      file: 'tokenizer.json',
    });
    expect(tokenizer.encode('a')).toHaveLength(2);
  });

  it.each([
    [
      'text',
      'version https://git-lfs.github.com/spec/v1',
      { code: 'json-malformed' as const, file: 'tokenizer.json' },
    ],
    ['list', '[]', { code: 'json-not-object' as const, file: 'tokenizer.json' }],
    [
      'model-less',
      '{"version":"1.0"}',
      { code: 'tokenizer-model-invalid' as const, file: 'tokenizer.json', field: 'model' },
    ],
    [
      'unknown-model',
      '{"model":{"type":"Oracle"}}',
      { code: 'tokenizer-invalid' as const, file: 'tokenizer.json' },
    ],
    [
      'unknown-normalizer',
      '{"model":{"type":"BPE","vocab":{},"merges":[]},"normalizer":{"type":"Iron"}}',
      { code: 'tokenizer-invalid' as const, file: 'tokenizer.json' },
    ],
    [
      'vocabulary-less',
      '{"model":{"type":"BPE"}}',
      { code: 'tokenizer-invalid' as const, file: 'tokenizer.json' },
    ],
  ])('refuses a damaged one (%s)', async (name, text, message) => {
    const path = modelFolder(name, { 'tokenizer.json': text });
    const failure = loadTokenizer(path);
    await expect(failure).rejects.toFailWith(message);
    await expect(failure).rejects.toMatchObject({
      subject: { file: join(path, 'tokenizer.json') },
    });
  });

  it('names a damaged tokenizer_config.json', async () => {
    const path = modelFolder('settings', { 'tokenizer_config.json': '{' });
    copyFileSync(fixture('llama-gqa-untied', 'tokenizer.json'), join(path, 'tokenizer.json'));
    await expect(loadTokenizer(path)).rejects.toFailWith({
      code: 'json-malformed',
      file: 'tokenizer_config.json',
    });
  });
});
