import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ModelComparison } from '../../../extension/core/inspect/model-comparison';
import type { StoredTensor } from '../../../extension/core/inspect/model-description';
import type { TensorStatistics } from '../../../extension/core/inspect/tensor-statistics';
import { fixture } from '../fixtures';
import { onnxFixture } from '../onnx-fixtures';
import { temporaryFolder } from '../temporary-folder';
import { runCli } from './run-cli';

const folder = temporaryFolder();
const model = fixture('llama-gqa-untied');
const gguf = join(import.meta.dirname, '../../fixtures/gguf/blocks.gguf');

interface TensorList {
  readonly totals: { readonly tensors: number };
  readonly tensors: readonly (StoredTensor & {
    readonly place: string;
    readonly statistics?: TensorStatistics | null;
  })[];
}

async function run<T>(...args: string[]): Promise<T> {
  const { code, stdout, stderr } = await runCli(args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout) as T;
}

describe('espalier tensors', () => {
  it.each([model, gguf, onnxFixture('gpt2-fused')])('lists those of %s', async (path) => {
    const { tensors, totals } = await run<TensorList>('tensors', path, '--json');
    expect(tensors).toHaveLength(totals.tensors);
    expect(tensors.every(({ statistics }) => statistics === undefined)).toBe(true);
    expect(tensors[0]?.offset).toBeGreaterThan(0);
  });

  it('measures their numbers on demand', async () => {
    const { tensors } = await run<TensorList>('tensors', model, '--stats', '--json');
    const down = tensors.find(({ name }) => name.endsWith('layers.3.mlp.down_proj.weight'));
    expect(down?.place).toBe('block.3.feedforward');
    const { file = '', offset = 0, bytes = 0, statistics } = down ?? {};
    const stored = readFileSync(file).subarray(offset, offset + bytes);
    const values = Array.from({ length: bytes / 4 }, (_, i) => stored.readFloatLE(4 * i));
    expect(statistics?.count).toBe(values.length);
    expect(statistics?.max).toBe(Math.max(...values));
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    expect(statistics?.mean).toBeCloseTo(mean, 10);
  });

  it('writes tables of numbers', async () => {
    const plain = await runCli(['tensors', model, '--csv']);
    const [headings = '', ...rows] = plain.stdout.trimEnd().split('\r\n');
    expect(headings).toBe('tensor,place,kind,dtype,shape,parameters,bytes,file,offset');
    expect(rows.every((row) => row.split(',').length === 9)).toBe(true);
    const measured = await runCli(['tensors', model, '--csv', '--stats']);
    expect(measured.stdout.split('\r\n')[1]?.split(',')).toHaveLength(9 + 7);
    expect(measured.stdout.split('\r\n')).toHaveLength(rows.length + 2);
  });

  it('lists tensors whose numbers cannot be read', async () => {
    const path = join(folder, 'listed.safetensors');
    const header = JSON.stringify({ a: { dtype: 'F4', shape: [2], data_offsets: [0, 1] } });
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(header.length));
    writeFileSync(path, Buffer.concat([size, Buffer.from(header), Buffer.alloc(1)]));
    const { code, stdout, stderr } = await runCli(['tensors', path, '--stats', '--json']);
    expect(code).toBe(0);
    expect((JSON.parse(stdout) as TensorList).tensors[0]?.statistics).toBeNull();
    expect(stderr).toMatch(/a: Values of dtype F4 can be listed/);
  });
});

describe('espalier compare', () => {
  it('finds nothing between a model and its copy', async () => {
    const copy = join(folder, 'copy');
    cpSync(model, copy, { recursive: true });
    const comparison = await run<ModelComparison>('compare', model, copy, '--weights', '--json');
    const { config, metadata, sublayers, tensors, forms, sameForm, weights } = comparison;
    const nothing = { model: [], against: [] };
    expect({ config, metadata, sublayers, tensors, forms }).toEqual({
      ...{ config: [], metadata: [], forms: [] },
      ...{ sublayers: nothing, tensors: nothing },
    });
    expect(weights?.equal).toBe(sameForm);
    expect(weights?.tensors.every(({ maxAbsolute }) => maxAbsolute === 0)).toBe(true);
    expect(weights?.tensors.every(({ cosine = 0 }) => Math.abs(cosine - 1) < 1e-12)).toBe(true);
  });

  it('finds a changed number and a changed field', async () => {
    const changed = join(folder, 'changed');
    cpSync(model, changed, { recursive: true });
    const { tensors } = await run<TensorList>('tensors', changed, '--json');
    const norm = tensors.find(({ name }) => name === 'model.norm.weight');
    const { file = '', offset = 0, bytes = 0 } = norm ?? {};
    const stored = readFileSync(file);
    const values = Array.from({ length: bytes / 4 }, (_, i) => stored.readFloatLE(offset + 4 * i));
    stored.writeFloatLE((values[2] ?? 0) + 0.5, offset + 8);
    writeFileSync(file, stored);
    const config = join(changed, 'config.json');
    writeFileSync(
      config,
      readFileSync(config, 'utf8').replace('"rms_norm_eps": 1e-06', '"rms_norm_eps": 0.5'),
    );

    const comparison = await run<ModelComparison>('compare', model, changed, '--weights', '--json');
    expect(comparison.config).toEqual([
      { field: 'rms_norm_eps', model: '0.000001', against: '0.5' },
    ]);
    const different = comparison.weights?.tensors.filter(({ maxAbsolute }) => maxAbsolute !== 0);
    expect(different?.map(({ name }) => name)).toEqual(['model.norm.weight']);
    const [found] = different ?? [];
    const frobenius = Math.hypot(...values);
    expect(found?.maxAbsolute).toBeCloseTo(0.5, 6);
    expect(found?.relativeFrobenius).toBeCloseTo(0.5 / frobenius, 6);
    const others = values.map((value, i) => (i === 2 ? value + 0.5 : value));
    const product = values.reduce((sum, value, i) => sum + value * (others[i] ?? 0), 0);
    expect(found?.cosine).toBeCloseTo(product / frobenius / Math.hypot(...others), 6);
  });

  it('compares the same numbers in other types', async () => {
    const half = fixture('llama-tied-f16');
    const comparison = await run<ModelComparison>(
      ...['compare', half, fixture('llama-bf16'), '--weights', '--json'],
    );
    expect(comparison.forms.some(({ model: { dtype } }) => dtype === 'F16')).toBe(true);
    const { tensors = [], skipped = [] } = comparison.weights ?? {};
    expect(tensors.length + skipped.length).toBeGreaterThan(0);
    expect(new Set<unknown>(skipped.map(({ reason }) => reason))).toEqual(
      new Set(skipped.map(() => 'The shapes differ.')),
    );
  });

  it('lists parts that only one model has', async () => {
    const comparison = await run<ModelComparison>(
      ...['compare', model, fixture('qwen3'), '--json'],
    );
    expect(comparison.weights).toBeUndefined();
    expect(comparison.tensors.against.some((name) => name.endsWith('q_norm.weight'))).toBe(true);
    const { code, stdout } = await runCli(['compare', model, fixture('qwen3')]);
    expect(code).toBe(0);
    expect(stdout).toContain('config: model_type');
  });

  it.each([
    [['compare', model], 2, 'Specify two models'],
    [['tensors', 'no-such-model'], 1, 'no-such-model'],
    [['compare', model, 'no-such-model'], 1, 'no-such-model'],
  ])('%j ends with a message', async (args, expected, message) => {
    const { code, stdout, stderr } = await runCli(args);
    expect({ code, stdout }).toEqual({ code: expected, stdout: '' });
    expect(stderr).toContain(message);
  });

  it('ends with a code in JSON if --json is one of two formats', async () => {
    const { code, stdout } = await runCli(['tensors', model, '--json', '--csv']);
    expect(code).toBe(2);
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'flags-conflict' } });
  });
});

describe('espalier inspect', () => {
  it('explains once why nothing can be removed, with the fix', async () => {
    const { code, stderr } = await runCli(['inspect', onnxFixture('plain-dynamo')]);
    expect(code).toBe(0);
    expect(stderr.split('\n').filter((line) => line.includes('residual'))).toEqual([
      'The graph has no residual branch, so there is no sublayer to remove. Choose a model with a residual stream.',
    ]);
  });
});
