import { readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { expect, it } from 'vitest';
import { readGgufHeader } from '../../../../extension/core/checkpoints/gguf';
import { readGgufArray } from '../../../../extension/core/checkpoints/gguf-values';
import { headerEntry } from '../../../../extension/core/export/gguf/header-entries';
import { familyFixture, relativeError } from '../../fixtures';
import { makeRandomModel } from '../../random-model';
import { modelFeatures, sampled } from '../../sample';
import { computeLogits, prune } from '../pruning';
import {
  attends,
  blockFeatures,
  blockIds,
  expectSame,
  expectSameWithoutBlock,
  fileIn,
  makeFolder,
  fresh,
  ids,
  floatValues,
  notInGguf,
  rewritten,
  withEntries,
  yarn,
} from './family-files';
import type { FamilyCase } from './family-files';

const families: readonly FamilyCase[] = [
  { name: 'deepseek_v32', architecture: 'deepseek32', block: 0 },
  { name: 'glm_moe_dsa', architecture: 'glm-dsa', block: 1 },
  { name: 'granite_swa', architecture: 'granite_swa', block: 1 },
  { name: 'granitemoe_swa', architecture: 'granite_swa', block: 2 },
  { name: 'sarvam_moe', architecture: 'bailingmoe2', block: 1 },
  { name: 'helium', architecture: 'llama', block: 1 },
  { name: 'laguna', architecture: 'laguna', block: 0 },
  {
    name: 'laguna',
    changed: {
      layer_types: ['full', 'sliding', 'sliding', 'full'].map(attends),
      rope_parameters: {
        full_attention: { ...yarn.full_attention, partial_rotary_factor: 0.5 },
        sliding_attention: { ...yarn.sliding_attention, partial_rotary_factor: 1 },
      },
    },
    ...{ architecture: 'laguna', block: 1 },
  },
  {
    name: 'mimo_v2_flash',
    changed: { attention_bias: false },
    ...{ architecture: 'mimo2', block: 0 },
  },
];

const written = await sampled(families, async ({ name, changed = {} }) => {
  const fields = Object.keys(changed).sort().join();
  return `${await modelFeatures(familyFixture(name))} ${fields}`;
});

it.each(written)('a GGUF file of $name gives the logits of the folder', expectSame);

it.each(await sampled(families, blockFeatures))(
  'a GGUF file of $name without a block equals the folder without it',
  expectSameWithoutBlock,
);

it.each([{}, { scale_depth: 1.1 }])(
  'a GGUF file of MiniCPM3 with %j has the factors of its branches in their weights',
  async (changed) => {
    const folder = makeFolder('minicpm3', changed);
    const [whole, pruned] = [fresh(), fresh()];
    await prune(folder, [], whole, floatValues);
    const file = fileIn(whole);
    const expected = await computeLogits(folder, ids);
    expect(relativeError(await computeLogits(file, ids), expected)).toBeLessThan(1e-5);
    const removed = await blockIds(folder, 1);
    await prune(folder, removed, pruned, floatValues);
    const without = await computeLogits(folder, ids, removed);
    expect(relativeError(await computeLogits(fileIn(pruned), ids), without)).toBeLessThan(1e-5);
    await expect(prune(file, removed, fresh(), { format: 'gguf' })).rejects.toFailWith({
      ...{ code: 'not-in-gguf', file: basename(file), field: 'minicpm3.block_count' },
      remedy: /Prune the Hugging Face folder/,
    });
  },
);

it('GLM files list the blocks that choose tokens, and keep their indexers', async () => {
  const whole = fresh();
  const folder = makeFolder('glm_moe_dsa', { indexer_types: ['full', 'shared', 'full', 'shared'] });
  await prune(folder, await blockIds(folder, 1), whole, floatValues);
  const file = fileIn(whole);
  const { metadata, tensors } = await readGgufHeader(file);
  const list = metadata.get('glm-dsa.attention.indexer.types');
  expect(typeof list === 'object' && (await readGgufArray(file, 'types', list))).toEqual([
    ...[true, true, false],
  ]);
  const asked = prune(folder, await blockIds(folder, 0), fresh(), floatValues);
  await expect(asked).rejects.toFailWith({ ...notInGguf, field: 'indexer_types' });
  const all = fresh();
  await prune(folder, [], all, floatValues);
  const again = prune(fileIn(all), await blockIds(folder, 0), fresh(), { format: 'gguf' });
  await expect(again).rejects.toFailWith({
    ...{ code: 'not-in-gguf', file: basename(fileIn(all)) },
    field: 'glm-dsa.attention.indexer.types',
  });
  expect(metadata.get('glm-dsa.attention.indexer.top_k')).toBe(2048);
  expect(tensors.filter(({ name }) => name.includes('indexer')).length).toBe(15);
});

/** GLM file as published: with an extra block after the others that predicts a further token. */
async function publishedGlm(types: readonly string[], isListed: boolean): Promise<string> {
  const out = fresh();
  await prune(makeFolder('glm_moe_dsa', { indexer_types: types }), [], out, floatValues);
  const flags = types.map((type) => type === 'full');
  const key = 'glm-dsa.attention.indexer.types';
  const changed = new Map([
    // Values replaced by another entry are removed.
    [key, isListed ? headerEntry.flags(key, flags) : headerEntry.integer('glm-dsa.note', 0)],
    ['glm-dsa.block_count', headerEntry.integer('glm-dsa.block_count', types.length + 1)],
    [
      'glm-dsa.context_length',
      headerEntry.integer('glm-dsa.context_length', isListed ? 4096 : 1_048_576),
    ],
    ['glm-dsa.nextn_predict_layers', headerEntry.integer('glm-dsa.nextn_predict_layers', 1)],
  ]);
  // Tensors of the last block are reused for one more.
  return withEntries(fileIn(out), changed, (tensors) => [
    ...tensors.filter(({ name }) => isListed || !/^blk\.[13]\.indexer/.test(name)),
    ...tensors.flatMap((tensor) =>
      tensor.name.startsWith('blk.3.')
        ? [{ ...tensor, name: tensor.name.replace('blk.3.', `blk.${types.length}.`) }]
        : [],
    ),
  ]);
}

it.each([true, false])(
  'a published GLM file keeps the list of choosing blocks up to date; listed there: %s',
  async (isListed) => {
    const file = await publishedGlm(['full', 'shared', 'full', 'shared'], isListed);
    for (const [block, expected] of [
      [1, [true, true, false]],
      [2, [true, false, false]],
    ] as const) {
      const out = fresh();
      await prune(file, await blockIds(file, block), out, { format: 'gguf' });
      const { metadata } = await readGgufHeader(fileIn(out));
      expect(metadata.get('glm-dsa.block_count')).toBe(3);
      expect(metadata.get('glm-dsa.nextn_predict_layers')).toBe(0);
      const list = metadata.get('glm-dsa.attention.indexer.types');
      const written = typeof list === 'object' && readGgufArray(fileIn(out), 'types', list);
      expect(await written).toEqual(expected);
    }
    const asked = prune(file, await blockIds(file, 0), fresh(), { format: 'gguf' });
    await expect(asked).rejects.toFailWith({
      ...{ code: 'not-in-gguf', file: basename(file) },
      field: 'glm-dsa.attention.indexer.types',
    });
  },
);

it('an untied head is written, regardless of tie_word_embeddings in config.json', async () => {
  const whole = fresh();
  const folder = makeFolder('helium', { tie_word_embeddings: true });
  await prune(folder, [], whole, floatValues);
  const { tensors } = await readGgufHeader(fileIn(whole));
  expect(tensors.map(({ name }) => name)).toContain('output.weight');
  expect(
    relativeError(await computeLogits(fileIn(whole), ids), await computeLogits(folder, ids)),
  ).toBeLessThan(1e-5);
});

it.each([false, true])(
  'a separate head is refused if llama.cpp reads none, with a tie in config.json %s',
  async (tied) => {
    const folder = await makeRandomModel({ seed: 4, blocks: 1, modelType: 'cohere' });
    const file = join(folder, 'config.json');
    const config = JSON.parse(readFileSync(file, 'utf8')) as object;
    writeFileSync(file, JSON.stringify({ ...config, tie_word_embeddings: tied }));
    await expect(prune(folder, [], fresh(), floatValues)).rejects.toFailWith({
      ...notInGguf,
      field: 'tie_word_embeddings',
    });
    await rm(folder, { recursive: true });
  },
);

it('queries of DeepSeek files are scaled by position if the file says so', async () => {
  const whole = fresh();
  const folder = familyFixture('mistral4');
  await prune(folder, [], whole, floatValues);
  const growing = async (period: number): Promise<Float32Array> => {
    const file = await rewritten(fileIn(whole), {
      'attention.temperature_scale': (key) => headerEntry.float(key, 0.4),
      'attention.temperature_length': (key) => headerEntry.integer(key, period),
    });
    return computeLogits(file, ids);
  };
  const { rope_parameters: rope } = JSON.parse(
    readFileSync(join(folder, 'config.json'), 'utf8'),
  ) as { rope_parameters: object };
  const expected = await computeLogits(
    makeFolder('mistral4', { rope_parameters: { ...rope, llama_4_scaling_beta: 0.4 } }),
    ids,
  );
  expect(relativeError(await growing(8), expected)).toBeLessThan(1e-5);
  expect(relativeError(await growing(4), expected)).toBeGreaterThan(1e-4);

  const lite = fresh();
  await prune(familyFixture('glm4_moe_lite'), [], lite, floatValues);
  const file = await rewritten(fileIn(lite), {
    'attention.temperature_scale': (key) => headerEntry.float(key, 0.4),
    'attention.temperature_length': (key) => headerEntry.integer(key, 4),
  });
  const plain = await computeLogits(fileIn(lite), ids);
  expect(relativeError(await computeLogits(file, ids), plain)).toBeGreaterThan(1e-4);
});

it.each([
  ['mimo_v2_flash', {}, 'attention_bias'],
  [
    'mimo_v2_flash',
    {
      attention_bias: false,
      rope_parameters: {
        full_attention: { rope_type: 'default', rope_theta: 10_000, partial_rotary_factor: 0.5 },
        sliding_attention: { rope_type: 'default', rope_theta: 1000, partial_rotary_factor: 1 },
      },
    },
    'rope_parameters.sliding_attention.partial_rotary_factor',
  ],
  ['minicpm3', { dim_model_base: 64 }, 'dim_model_base'],
] as const)('%s with %j is refused', async (name, changed, field) => {
  const asked = prune(makeFolder(name, changed), [], fresh(), floatValues);
  await expect(asked).rejects.toFailWith({ ...notInGguf, field });
});

it('a nemotron-nas folder becomes a deci model', async () => {
  const [nas, out] = [fresh(), fresh()];
  const source = await makeRandomModel({ seed: 3, blocks: 4, inner: 256 });
  await prune(source, ['block.1.attention'], nas, { layout: 'deci' });
  await prune(nas, ['block.3.attention'], out, floatValues);
  const file = fileIn(out);
  expect((await readGgufHeader(file)).metadata.get('general.architecture')).toBe('deci');
  const rows = [[3, 14, 15, 9, 26, 5, 35, 8]];
  const expected = await computeLogits(source, rows, ['block.1.attention', 'block.3.attention']);
  expect(relativeError(await computeLogits(file, rows), expected)).toBeLessThan(1e-5);
});
