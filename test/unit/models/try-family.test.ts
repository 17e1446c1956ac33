import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openSafetensors } from '../../../extension/core/checkpoints/safetensors';
import { unattended } from '../../../extension/core/jobs/job';
import { inEnglish } from '../../../extension/core/message';
import { openModelFiles, openModel } from '../../../extension/core/models/open-model';
import { buildRequest } from '../../../extension/core/operations/build-request';
import type { OperationContext } from '../../../extension/core/operations/operation';
import { tryFamily } from '../../../extension/core/operations/try-family';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { prune } from '../export/pruning';
import { temporaryFolder } from '../temporary-folder';

const root = temporaryFolder();
const samples = join(import.meta.dirname, '../../../samples');
const original = join(samples, 'espalier-sample');
/** Start of a chapter, which takes a fraction of the time of the default text. */
const text = join(root, 'text.txt');
writeFileSync(text, readFileSync(join(samples, 'held-out.txt'), 'utf8').slice(0, 1000));

const context: OperationContext = {
  ...unattended,
  environment: {
    ...{ samples, version: 'test', costsFolder: '' },
    bundles: '',
    open: openModelFiles,
  },
};

/** A copy of the sample whose config.json names no known type; undefined fields are left out. */
function unknownModel(name: string, fields: object = {}): string {
  const folder = join(root, name);
  cpSync(original, folder, { recursive: true });
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as object;
  const text = JSON.stringify({ ...config, model_type: 'newcomer', ...fields }, undefined, 2);
  writeFileSync(join(folder, 'config.json'), text);
  return folder;
}

const tried = async (model: string, more: object = {}): ReturnType<typeof tryFamily.run> =>
  tryFamily.run(buildRequest(tryFamily, { model, text, device: 'cpu', ...more }), context);

async function computeLogits(folder: string): Promise<Float32Array> {
  const executor = new LayeredExecutor(await openModel(folder), 'cpu', 1 << 30);
  try {
    let state = await executor.embed(Int32Array.from([5, 90, 700, 12]));
    for (const index of executor.model.summary.sublayers.keys()) {
      [state = state] = await executor.run(index, [state]);
    }
    return await executor.logits(state);
  } finally {
    await executor.dispose();
  }
}

describe('a model of an unknown type', () => {
  it('opens as the matching family, marked as a guess', async () => {
    const silent = ['vocab_size', 'num_key_value_heads', 'tie_word_embeddings'];
    const lacking = Object.fromEntries(silent.map((field) => [field, undefined]));
    const folder = unknownModel('renamed', lacking);
    await expect(openModel(folder)).rejects.toFailWith({
      code: 'architecture-unsupported',
      file: 'config.json',
      field: 'model_type',
    });
    const result = await tried(folder);
    expect(result).toMatchObject({ family: 'llama', path: join(folder, 'espalier-family.json') });
    expect(result.perplexity).toBeLessThan(100);
    const model = await openModel(folder);
    expect(model.summary.architecture).toBe('newcomer');
    expect(model.summary.warnings.map(inEnglish)).toEqual([
      expect.stringMatching(/^Guessed as llama: perplexity [\d.]+ on a short text, [\d.]+ with/),
    ]);
    expect(await computeLogits(folder)).toEqual(await computeLogits(original));
    await expect(tried(folder)).rejects.toFailWith({
      code: 'family-supported-already',
      file: 'config.json',
    });

    const first = model.summary.sublayers.filter(({ block }) => block === 3).map(({ id }) => id);
    const { path } = await prune(folder, first, join(root, 'renamed-pruned'));
    const pruned = (await openModel(path)).summary;
    expect(pruned).toMatchObject({ architecture: 'newcomer', blocks: model.summary.blocks - 1 });
    expect(pruned.warnings).toEqual(model.summary.warnings);
    expect(existsSync(join(path, 'espalier-family.json'))).toBe(false);
  });

  it.each([
    [{ logit_divisor: 4 }, { code: 'family-not-known' as const, file: 'fields-logit_divisor' }],
    [
      { attention_sinks: true },
      { code: 'family-not-known' as const, file: 'fields-attention_sinks' },
    ],
    [{ head_dim: 64 }, { code: 'family-not-known' as const, file: 'fields-head_dim' }],
  ])('is refused with %j', async (fields, message) => {
    const folder = unknownModel(`fields-${Object.keys(fields)[0]}`, fields);
    await expect(tried(folder)).rejects.toFailWith(message);
    expect(existsSync(join(folder, 'espalier-family.json'))).toBe(false);
  });

  it('is refused with a tensor that no family names', async () => {
    const folder = unknownModel('other-tensor');
    const file = join(folder, 'model.safetensors');
    const bytes = readFileSync(file);
    // The header keeps its length: the name of a norm is spelled otherwise.
    const name = 'model.layers.0.input_layernorm.weight';
    bytes.write('model.layers.0.inner_layernorm.weight', bytes.indexOf(name));
    writeFileSync(file, bytes);
    await expect(tried(folder)).rejects.toFailWith({
      code: 'family-not-known',
      file: expect.any(String),
    });
  });

  it('is refused with tensors left over', async () => {
    const folder = unknownModel('fewer-blocks', { num_hidden_layers: 11 });
    await expect(tried(folder)).rejects.toFailWith({
      code: 'family-not-known',
      file: expect.any(String),
    });
  });

  it('opens as the family that predicts a text best, if tensors are ambiguous', async () => {
    const folder = unknownModel('interleaved');
    const file = join(folder, 'model.safetensors');
    const { tensors } = await openSafetensors(file);
    const bytes = readFileSync(file);
    // Rows i and i + half of a head become neighbors, as families have them that turn those.
    const [half, rowBytes] = [16, 192 * 2];
    for (const [name, { offset, length }] of tensors) {
      if (/\.[qk]_proj/.test(name)) {
        const before = Buffer.from(bytes.subarray(offset, offset + length));
        for (let row = 0; row < length / rowBytes; row++) {
          const [head, place] = [Math.trunc(row / (2 * half)), row % (2 * half)];
          const source = head * 2 * half + Math.trunc(place / 2) + (place % 2) * half;
          before.copy(bytes, offset + row * rowBytes, source * rowBytes, (source + 1) * rowBytes);
        }
      }
    }
    writeFileSync(file, bytes);
    const { family, perplexity } = await tried(folder);
    expect(['helium', 'ernie4_5']).toContain(family);
    expect(perplexity).toBeLessThan(100);
    const asHelium = tried(unknownModel('turned'), { family: 'helium' });
    await expect(asHelium).rejects.toFailWith({ code: 'guessed-family-wrong', file: 'turned' });
  });

  it('is refused if it does not predict a text', async () => {
    const folder = unknownModel('permuted');
    const file = join(folder, 'model.safetensors');
    const { tensors } = await openSafetensors(file);
    const bytes = readFileSync(file);
    for (const [name, { offset, length }] of tensors) {
      if (name.includes('_proj')) {
        bytes
          .subarray(offset, offset + length)
          .reverse()
          .swap16();
      }
    }
    writeFileSync(file, bytes);
    await expect(tried(folder)).rejects.toFailWith({
      code: 'guessed-family-wrong',
      file: 'permuted',
    });
    expect(existsSync(join(folder, 'espalier-family.json'))).toBe(false);
  });

  it('is tried as the family that is named', async () => {
    await expect(tried(unknownModel('as-gpt2'), { family: 'gpt2' })).rejects.toFailWith({
      code: 'family-not-known',
      file: 'as-gpt2',
    });
    await expect(tried(unknownModel('as-none'), { family: 'none' })).rejects.toFailWith({
      ...{ code: 'family-unknown', field: 'family', remedy: /^Supported: llama/ },
    });
    await expect(tried(original)).rejects.toFailWith({
      code: 'family-supported-already',
      file: 'config.json',
    });
  });
});
