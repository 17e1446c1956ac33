import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readGgufHeader } from '../../../../extension/core/checkpoints/gguf';
import { readGgufArray } from '../../../../extension/core/checkpoints/gguf-values';
import { headerEntry } from '../../../../extension/core/export/gguf/header-entries';
import { deepseek4 } from '../../../../extension/core/models/gguf/deepseek4';
import { openModel } from '../../../../extension/core/models/open-model';
import { decoderIn } from '../../config-source';
import { familyFixture, relativeError } from '../../fixtures';
import { quantizedFixture, quantizedGolden } from '../../quantized-fixtures';
import { computeLogits, prune, rejection } from '../pruning';
import { blockIds, fileIn, makeFolder, fresh, floatValues, rewritten } from './family-files';
import { llamaCppViolation } from '../llama-cpp-violation';

/** A block that looks at near tokens, one at runs of 128, and one at runs of 4 that it chooses. */
const folder = familyFixture('deepseek_v4-three');
const { input_ids: ids } = JSON.parse(readFileSync(join(folder, 'golden.json'), 'utf8')) as {
  readonly input_ids: readonly (readonly number[])[];
};
const golden = new Float32Array(new Uint8Array(readFileSync(join(folder, 'golden.bin'))).buffer);

/** The folder as a GGUF file in float32. */
async function written(): Promise<string> {
  const out = fresh();
  await prune(folder, [], out, floatValues);
  return fileIn(out);
}

const listIn = async (file: string, key: string): Promise<readonly unknown[]> => {
  const list = (await readGgufHeader(file)).metadata.get(key);
  return typeof list === 'object' ? readGgufArray(file, key, list) : [];
};

it('a GGUF file of DeepSeek-V4 gives the logits of transformers', async () => {
  const file = await written();
  expect(relativeError(await computeLogits(file, ids), golden)).toBeLessThan(1e-5);
  const [{ summary }, original] = [await openModel(file), await openModel(folder)];
  expect(summary.warnings).toEqual([]);
  expect(summary.sublayers.map((one) => [one.id, one.parameters])).toEqual(
    original.summary.sublayers.map((one) => [one.id, one.parameters]),
  );
  const { metadata, tensors } = await readGgufHeader(file);
  expect(Object.fromEntries(metadata)).toMatchObject({
    'general.architecture': 'deepseek4',
    'deepseek4.expert_gating_func': 4,
    'deepseek4.hash_layer_count': 1,
    'deepseek4.rope.freq_base': 10_000,
    'deepseek4.attention.compress_rope_freq_base': 160_000,
    'deepseek4.attention.sliding_window': 6,
    'deepseek4.hyper_connection.count': 4,
  });
  expect(metadata.has('deepseek4.rope.scaling.attn_factor')).toBe(false);
  expect(await listIn(file, 'deepseek4.attention.compress_ratios')).toEqual([0, 128, 4]);
  expect(await listIn(file, 'deepseek4.swiglu_clamp_exp')).toEqual([0.5, 0.5, 0.5]);
  expect(tensors.filter(({ dtype }) => dtype === 'I32').map(({ name }) => name)).toEqual([
    'blk.0.ffn_gate_tid2eid.weight',
  ]);
});

it.each([
  [0, [128, 4], 0],
  [1, [0, 4], 1],
] as const)('without block %i matches the folder', async (block, ratios, tables) => {
  const removed = await blockIds(folder, block);
  const expected = await computeLogits(folder, ids, removed);
  const [fromFolder, fromFile] = [fresh(), fresh()];
  await prune(folder, removed, fromFolder, floatValues);
  await prune(await written(), removed, fromFile, { format: 'gguf' });
  for (const file of [fileIn(fromFolder), fileIn(fromFile)]) {
    expect(relativeError(await computeLogits(file, ids), expected)).toBeLessThan(1e-5);
    expect(await listIn(file, 'deepseek4.attention.compress_ratios')).toEqual(ratios);
    expect((await readGgufHeader(file)).metadata.get('deepseek4.hash_layer_count')).toBe(tables);
  }
});

it('a published file declares a multi-token prediction block that it does not contain', async () => {
  const file = await rewritten(await written(), {
    nextn_predict_layers: (key) => headerEntry.integer(key, 1),
    'attention.compress_ratios': (key) => headerEntry.integers(key, [0, 128, 4, 0]),
    swiglu_clamp_exp: (key) => headerEntry.float(key, 0.5),
  });
  expect(relativeError(await computeLogits(file, ids), golden)).toBeLessThan(1e-5);
  const out = fresh();
  await prune(file, await blockIds(file, 1), out, { format: 'gguf' });
  expect(await listIn(fileIn(out), 'deepseek4.attention.compress_ratios')).toEqual([0, 4]);
});

it('shared experts have the bound of the others', async () => {
  const withBound = async (bound: number): Promise<string> =>
    rewritten(await written(), {
      swiglu_clamp_shexp: (key) => headerEntry.floats(key, [bound, bound, bound]),
    });
  expect(relativeError(await computeLogits(await withBound(0.5), ids), golden)).toBeLessThan(1e-5);
  expect((await rejection(openModel(await withBound(0.25)))).message).toMatch(
    /deepseek4\.swiglu_clamp_shexp: It is 0\.25, expected 0\.5 as in deepseek4\.swiglu_clamp_exp/,
  );
});

it('weights of eight and four bits have their numbers, whole and without a block', async () => {
  const published = quantizedFixture('deepseek-v4');
  const { inputIds, logits } = quantizedGolden('deepseek-v4');
  const [whole, pruned] = [fresh(), fresh()];
  await prune(published, [], whole, { format: 'gguf' });
  const numbers = await computeLogits(fileIn(whole), inputIds);
  expect(relativeError(numbers, logits)).toBeLessThan(1e-4);
  const { tensors } = await readGgufHeader(fileIn(whole));
  const readType = (part: string): unknown =>
    tensors.find(({ name }) => name === `blk.1.${part}.weight`)?.dtype;
  // Four-bit experts keep their bytes.
  expect(['gate', 'up', 'down'].map((one) => readType(`ffn_${one}_exps`))).toEqual(
    Array.from({ length: 3 }, () => 'MXFP4'),
  );
  expect(readType('ffn_up_shexp')).toBe('F16');
  const removed = await blockIds(published, 1);
  await prune(published, removed, pruned, { format: 'gguf' });
  const expected = await computeLogits(published, inputIds, removed);
  expect(relativeError(await computeLogits(fileIn(pruned), inputIds), expected)).toBeLessThan(1e-4);
});

it('is quantized but for its table of experts, which takes no type', async () => {
  const out = fresh();
  await prune(folder, [], out, { format: 'gguf', types: { mix: 'Q8_0' } });
  const { tensors } = await readGgufHeader(fileIn(out));
  const table = 'blk.0.ffn_gate_tid2eid.weight';
  expect(tensors.find(({ name }) => name === table)?.dtype).toBe('I32');
  expect(tensors.find(({ name }) => name === 'blk.0.hc_attn_fn.weight')?.dtype).toBe('Q8_0');
  const asked = prune(folder, [], fresh(), {
    format: 'gguf',
    types: { tensors: { [table]: 'F16' } },
  });
  expect((await rejection(asked)).message).toMatch(/The type of an integer table can't be changed/);
});

it.each([
  ['deepseek_v4', {}, [1], /index_head_dim: .* with 64 here, not 8/],
  ['deepseek_v4', {}, [2], /compress_rates: .* with 128 here, not 5/],
  ['deepseek_v4-three', { scoring_func: 'sigmoid' }, [], /scoring_func: .* "sqrtsoftplus" here/],
  [
    'deepseek_v4-three',
    {},
    [2],
    /layer_types: .* with chunks of 4 tokens in deepseek4 models, and none remains/,
  ],
] as const)('%s with %j without blocks %j is refused', async (name, changed, blocks, message) => {
  const other = makeFolder(name, changed);
  const removed = (await Promise.all(blocks.map(async (one) => blockIds(other, one)))).flat();
  const asked = prune(other, removed, fresh(), floatValues);
  expect((await rejection(asked)).message).toMatch(message);
});

it('a block with an expert table cannot follow one without', () => {
  const configFile = familyFixture('deepseek_v4', 'config.json');
  const facts = {
    ...decoderIn(readFileSync(configFile, 'utf8'), configFile),
    source: 'header',
    configFile,
    target: { architecture: 'deepseek4', family: deepseek4 },
  } as const;
  const field = (...blocks: readonly number[]): string | undefined =>
    llamaCppViolation(facts, blocks)?.field;
  expect(field(0, 1, 2, 3)).toBe('deepseek4.hash_layer_count');
  expect(field(0, 2, 3)).toBeUndefined();
});

it('a file must keep a block that selects chunks of tokens', async () => {
  const file = await written();
  const asked = prune(file, await blockIds(file, 2), fresh(), { format: 'gguf' });
  expect((await rejection(asked)).message).toMatch(
    /with chunks of 4 tokens in deepseek4 models, and none remains/,
  );
});

it.each([
  ['attention.compress_ratios', [0, 8, 4], /It has 8 for block 1, expected 0, 4 or 128/],
  ['attention.compress_ratios', [0, 4], /It has 2 entries for 3 blocks/],
  ['expert_gating_func', 2, /It is 2, expected 4/],
] as const)('rejects a file whose %s is %j', async (key, value, message) => {
  const file = await rewritten(await written(), {
    [key]: (name) =>
      typeof value === 'number'
        ? headerEntry.integer(name, value)
        : headerEntry.integers(name, value),
  });
  expect((await rejection(openModel(file))).message).toMatch(message);
});
