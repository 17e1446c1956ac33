import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readGgufHeader } from '../../../extension/core/checkpoints/gguf';
import { loadTokenizer } from '../../../extension/core/data/tokenizer';
import { missingKeys } from '../../../extension/core/export/gguf/folder-to-gguf';
import { ggufTarget } from '../../../extension/core/models/gguf/gguf-target';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { decoderIn } from '../config-source';
import { computeOutputs } from '../models/encodings/layered';
import { familyFixture, fixture, readJson, relativeError } from '../fixtures';
import { quantizedCases, quantizedFixture, quantizedGolden } from '../quantized-fixtures';
import { modelFeatures, sampled } from '../sample';
import { temporaryFolder } from '../temporary-folder';
import { computeLogits, prune, RecordedContext, rejection } from './pruning';
import { llamaCppViolation } from './llama-cpp-violation';

const golden = (name: string): { readonly inputIds: readonly (readonly number[])[] } =>
  readJson(name, 'golden.json');

const root = temporaryFolder();
let count = 0;
const fresh = (): string => join(root, `${count++}`);

const wholeBlock = (block: number): string[] => [
  `block.${block}.attention`,
  `block.${block}.feedforward`,
];

const anyFixture = (name: string): string =>
  existsSync(fixture(name)) ? fixture(name) : familyFixture(name);

/** The one .gguf file of a folder. */
function fileIn(folder: string): string {
  const names = readdirSync(folder);
  expect(names.sort()).toEqual(
    ['espalier.json', names.find((name) => name.endsWith('.gguf'))].sort(),
  );
  return join(folder, names.find((name) => name.endsWith('.gguf')) ?? '');
}

/** The case, its attention scaled and windowed as llama.cpp has it. */
function source(name: string): string {
  const isStarcoder = name === 'starcoder2';
  if (!isStarcoder && (!name.startsWith('gemma') || name === 'gemma')) {
    return fixture(name);
  }
  const folder = fresh();
  cpSync(fixture(name), folder, { recursive: true });
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as {
    head_dim: number;
  };
  const changed = isStarcoder
    ? { ...config, sliding_window: null }
    : { ...config, query_pre_attn_scalar: config.head_dim };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(changed));
  return folder;
}

const folders = await sampled(
  [
    'llama-gqa-untied',
    'llama-bf16',
    'llama-rope-llama3',
    'llama-rope-linear',
    'llama-attention-bias',
    'llama-head-dim',
    'mistral-plain',
    'qwen2',
    'qwen3',
    'gemma',
    'gemma2',
    'gemma3-text',
    'phi3',
    'phi3-partial-rotary',
    'granite',
    'olmo2',
    'stablelm',
    'stablelm-parallel',
    'cohere',
    'starcoder2',
  ],
  async (name) => modelFeatures(source(name)),
);
const familyFolders = await sampled(
  ['smollm3', 'arcee', 'glm4', 'cohere2', 'seed_oss', 'hunyuan_v1_dense', 'ernie4_5'],
  async (name) => modelFeatures(familyFixture(name)),
);
const prunedFolders = await sampled(
  [
    ...['gpt2', 'gpt2-inner', 'gpt-neox', 'phi', 'falcon', 'falcon-new', 'falcon-new-one-norm'],
    ...['bloom', 'mpt', 'gpt_bigcode', 'nemotron', 'jais2', 'olmo', 'exaone', 'glm'],
  ],
  async (name) => modelFeatures(anyFixture(name)),
);
const quantizedFolders = await sampled(
  quantizedCases.filter((name) => name !== 'mxfp4' && name !== 'deepseek-v4'),
  async (name) => modelFeatures(quantizedFixture(name)),
);

/** Error about a field of config.json that llama.cpp can't compute. */
const notInGguf = (field: string) => ({ code: 'not-in-gguf', file: 'config.json', field }) as const;

describe('a GGUF file of a Hugging Face folder', () => {
  it('of Gemma 3n gives the logits of the folder, tokens beyond the per-layer table included', async () => {
    const [folder, out] = [familyFixture('gemma3n_text-own-keys'), fresh()];
    await prune(folder, [], out, { format: 'gguf' });
    const file = fileIn(out);
    const shapes = new Map(
      (await readGgufHeader(file)).tensors.map(({ name, shape }) => [name, shape]),
    );
    expect(shapes.get('altup_proj.weight')).toEqual([3, 32, 32]);
    expect(shapes.get('per_layer_token_embd.weight')).toEqual([64, 512]);
    const ids = [[5, 63, 9, 61, 13, 60, 34, 8, 62, 3, 17, 44]];
    const expected = await computeLogits(folder, ids);
    expect(relativeError(await computeLogits(file, ids), expected)).toBeLessThan(1e-5);
  });

  it.each([
    'gemma4_text',
    'gemma4_text-experts',
    'gemma4_text-keys-are-values',
    'gemma4_unified_text',
  ])('of %s gives the logits of the folder', async (name) => {
    const [folder, out] = [familyFixture(name), fresh()];
    await prune(folder, [], out, { format: 'gguf' });
    const ids = [[5, 63, 9, 61, 13, 60, 34, 8, 62, 3, 17, 44]];
    const expected = await computeLogits(folder, ids);
    expect(relativeError(await computeLogits(fileIn(out), ids), expected)).toBeLessThan(1e-6);
  });

  it('of Gemma 4 without blocks that only multiply the stream leaves the factors to those in front', async () => {
    const [folder, whole] = [familyFixture('gemma4_text-factors'), fresh()];
    await prune(folder, [], whole, { format: 'gguf' });
    const ids = Int32Array.of(5, 63, 9, 61, 13, 60, 34, 8, 62, 3, 17, 44);
    for (const blocks of [[1, 2], [3]]) {
      const removed = blocks.flatMap(wholeBlock);
      const expected = await computeOutputs(await openModel(folder), [ids], removed);
      for (const source of [folder, fileIn(whole)]) {
        const out = fresh();
        const { parametersAfter } = await prune(source, removed, out, { format: 'gguf' });
        const model = await openModel(fileIn(out));
        expect(model.summary.blocks).toBe(4 - blocks.length);
        expect(model.summary.parameters).toBe(parametersAfter);
        expect(relativeError(await computeOutputs(model, [ids]), expected)).toBeLessThan(1e-6);
      }
    }
    const first = await rejection(prune(folder, wholeBlock(0), fresh(), { format: 'gguf' }));
    expect(first).toFailWith({
      code: 'blocks-not-removable',
      file: 'gemma4_text-factors',
      field: 'gguf blocks',
    });
    const full = [...wholeBlock(1), ...wholeBlock(3)];
    const { message } = await rejection(prune(folder, full, fresh(), { format: 'gguf' }));
    expect(message).toMatch(/expects a block without a sliding window in gemma4 models/);
  });

  it('of Gemma 4 is refused if blocks share keys in another way than llama.cpp does', () => {
    const folder = fresh();
    cpSync(familyFixture('gemma4_text'), folder, { recursive: true });
    const file = join(folder, 'config.json');
    const config = JSON.parse(readFileSync(file, 'utf8')) as object;
    const layerTypes = ['full_attention', 'sliding_attention'];
    const changed = {
      ...config,
      layer_types: [...layerTypes, ...layerTypes],
      per_layer_config: {},
    };
    const { architecture, config: read } = decoderIn(JSON.stringify(changed), file);
    expect(ggufTarget({ architecture, config: read })?.family.demands?.(read)).toEqual({
      num_kv_shared_layers: 0,
    });
  });

  it('of Gemma 3n with other sizes than llama.cpp takes is refused', async () => {
    const asked = prune(familyFixture('gemma3n_text'), [], fresh(), { format: 'gguf' });
    const { message } = await rejection(asked);
    expect(message).toMatch(/laurel_rank: llama\.cpp runs gemma3n models with 64 here, not 8/);
  });

  it('lacks tensors that the model does not use, though their names have a place', async () => {
    const [folder, out, context] = [fresh(), fresh(), new RecordedContext()];
    cpSync(fixture('llama-attention-bias'), folder, { recursive: true });
    const file = join(folder, 'config.json');
    const config = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
    writeFileSync(file, JSON.stringify({ ...config, attention_bias: false }));
    await prune(folder, [], out, { format: 'gguf' }, context);
    expect(context.warnings).toEqual([
      expect.stringMatching(
        /^Left out \d+ tensors that the model doesn't use, such as model\.layers\.0\.self_attn\.\w_proj\.bias\.$/,
      ),
    ]);
    const { tensors } = await readGgufHeader(fileIn(out));
    expect(tensors.filter(({ name }) => /attn_.+\.bias$/.test(name))).toEqual([]);
    const ids = golden('llama-attention-bias').inputIds;
    const expected = await computeLogits(folder, ids);
    expect(relativeError(await computeLogits(fileIn(out), ids), expected)).toBeLessThan(1e-5);
  });

  it('has zeros for keys that Gemma 3n does not store and llama.cpp wants', () => {
    const configFile = familyFixture('gemma3n_text', 'config.json');
    const { architecture, config } = decoderIn(readFileSync(configFile, 'utf8'), configFile);
    const target = ggufTarget({ architecture, config });
    if (target === undefined) {
      throw new Error('a family that llama.cpp knows');
    }
    const added = missingKeys({ config, architecture, target }, new Set(['blk.3.attn_v.weight']));
    expect(added.map(({ name, shape, type, length }) => [name, shape, type, length])).toEqual([
      ['blk.2.attn_k.weight', [16, 32], 'F16', 1024],
      ['blk.2.attn_v.weight', [16, 32], 'F16', 1024],
      ['blk.2.attn_k_norm.weight', [8], 'F32', 32],
      ['blk.3.attn_k.weight', [16, 32], 'F16', 1024],
      ['blk.3.attn_k_norm.weight', [8], 'F32', 32],
    ]);
  });

  it.each(folders)('of %s gives the logits of the folder', async (name) => {
    const [folder, out] = [source(name), fresh()];
    const result = await prune(folder, [], out, { format: 'gguf' });
    expect(result.verification.relativeError).toBeLessThan(1e-5);
    const { inputIds } = golden(name);
    const expected = await computeLogits(folder, inputIds);
    expect(relativeError(await computeLogits(fileIn(out), inputIds), expected)).toBeLessThan(1e-5);
  });

  it.each(familyFolders)('of %s gives the logits of the folder too', async (name) => {
    const [folder, out] = [familyFixture(name), fresh()];
    const result = await prune(folder, [], out, { format: 'gguf' });
    expect(result.verification.relativeError).toBeLessThan(1e-5);
  });

  it.each(prunedFolders)('of %s gives the logits of the folder, pruned or not', async (name) => {
    const [folder, out, pruned] = [anyFixture(name), fresh(), fresh()];
    await prune(folder, [], out, { format: 'gguf' });
    const ids = [[5, 63, 9, 61, 13, 60, 34, 8, 62, 3, 17, 44]];
    const expected = await computeLogits(folder, ids);
    expect(relativeError(await computeLogits(fileIn(out), ids), expected)).toBeLessThan(1e-5);
    await prune(fileIn(out), wholeBlock(0), pruned, { format: 'gguf' });
    const without = await computeLogits(folder, ids, wholeBlock(0));
    expect(relativeError(await computeLogits(fileIn(pruned), ids), without)).toBeLessThan(1e-5);
  });

  it('stores the activation and its bounds', async () => {
    const [changed, out] = [fresh(), fresh()];
    cpSync(familyFixture('mpt'), changed, { recursive: true });
    const file = join(changed, 'config.json');
    const config = JSON.parse(readFileSync(file, 'utf8')) as { attn_config: object };
    const attn_config = { ...config.attn_config, clip_qkv: 0.05 };
    writeFileSync(file, JSON.stringify({ ...config, attn_config }));
    await prune(changed, [], out, { format: 'gguf' });
    const { metadata } = await readGgufHeader(fileIn(out));
    expect(metadata.get('mpt.hidden_activation')).toBe('gelu');
    expect(metadata.get('mpt.attention.max_alibi_bias')).toBe(8);
    expect(metadata.get('mpt.attention.clamp_kqv')).toBeCloseTo(0.05);
    const ids = [[5, 63, 9, 61, 13, 60, 34, 8, 62, 3, 17, 44]];
    const expected = await computeLogits(changed, ids);
    expect(relativeError(await computeLogits(fileIn(out), ids), expected)).toBeLessThan(1e-5);
  });

  it.each(quantizedFolders)(
    'of weights quantized as %s has their numbers, pruned or not',
    async (name) => {
      const folder = quantizedFixture(name);
      const [whole, pruned] = [fresh(), fresh()];
      const exact = { format: 'gguf', types: { mix: 'F32' } } as const;
      const { verification } = await prune(folder, [], whole, exact);
      expect(verification.relativeError).toBeLessThan(1e-5);
      const { inputIds, logits } = quantizedGolden(name);
      expect(relativeError(await computeLogits(fileIn(whole), inputIds), logits)).toBeLessThan(
        1e-4,
      );
      await prune(folder, wholeBlock(1), pruned, { format: 'gguf' });
      const { tensors } = await readGgufHeader(fileIn(pruned));
      const left = tensors.filter((one) => one.name.endsWith('ffn_up.weight'));
      expect(left.map((one) => [one.name, one.dtype])).toEqual([['blk.0.ffn_up.weight', 'F16']]);
    },
  );

  it.each(['gemma2', 'gemma3-text'])(
    'of %s keeps the windows of the blocks that stay',
    async (name) => {
      const [folder, out] = [source(name), fresh()];
      await prune(folder, wholeBlock(0), out, { format: 'gguf' });
      const { inputIds } = golden(name);
      const expected = await computeLogits(folder, inputIds, wholeBlock(0));
      expect(relativeError(await computeLogits(fileIn(out), inputIds), expected)).toBeLessThan(
        1e-5,
      );
    },
  );

  it('of a llama without single attentions is a deci model', async () => {
    const out = fresh();
    const removed = [...wholeBlock(0), 'block.2.attention'];
    const result = await prune(fixture('llama-gqa-untied'), removed, out, { format: 'gguf' });
    expect(result.layout).toBe('deci');
    const { inputIds } = golden('llama-gqa-untied');
    const expected = await computeLogits(fixture('llama-gqa-untied'), inputIds, removed);
    expect(relativeError(await computeLogits(fileIn(out), inputIds), expected)).toBeLessThan(1e-5);
  });

  it('has the tokenizer of the folder', async () => {
    const out = fresh();
    await prune(fixture('llama-gqa-untied'), [], out, { format: 'gguf' });
    const [folder, file] = await Promise.all(
      [fixture('llama-gqa-untied'), fileIn(out)].map(async (path) => loadTokenizer(path)),
    );
    for (const text of ['Byte by byte, 12345 of them.', '  Ünïcode\n\ttabs ', '']) {
      expect(file?.encode(text), text).toEqual(folder?.encode(text));
    }
  });

  it('has the types of a mix, with those of single tensors before them', async () => {
    const out = fresh();
    await prune(fixture('llama-gqa-untied'), [], out, {
      format: 'gguf',
      types: { mix: 'F16', tensors: { 'blk.1.ffn_up.weight': 'BF16' } },
    });
    const { tensors, metadata } = await readGgufHeader(fileIn(out));
    const readType = (name: string): string | undefined =>
      tensors.find((tensor) => tensor.name === name)?.dtype;
    expect(metadata.get('general.file_type')).toBe(1);
    expect(readType('blk.0.ffn_up.weight')).toBe('F16');
    expect(readType('blk.1.ffn_up.weight')).toBe('BF16');
    expect(readType('blk.0.attn_norm.weight')).toBe('F32');
  });

  it('is refused with the reason, and nothing is written', async () => {
    for (const [name, more, message] of [
      ['opt', {}, { code: 'not-in-gguf' as const, file: 'opt', field: 'gguf blocks' }],
      ['phi-qk-norm', {}, notInGguf('qk_layernorm')],
      ['gpt2-unscaled', {}, notInGguf('scale_attn_weights')],
      ['falcon-alibi', {}, notInGguf('alibi')],
      ['bitnet', {}, notInGguf('hidden_act')],
      ['falcon-sequential', {}, notInGguf('bias')],
      ['gpt-neox-sequential', {}, notInGguf('attention_bias')],
      ['mistral-sliding', {}, notInGguf('sliding_window')],
      ['cohere-qk-norm', {}, notInGguf('tie_word_embeddings')],
      ['gemma2', {}, notInGguf('query_pre_attn_scalar')],
      ['llama-rope-dynamic', {}, notInGguf('rope_parameters')],
      [
        'qwen2',
        { types: { tensors: { 'blk.9.x': 'F16' } } },
        { code: 'tensor-unknown' as const, field: 'types.blk.9.x' },
      ],
      [
        'qwen2',
        { types: { tensors: { 'output_norm.weight': 'Q4_K' } } },
        { code: 'tensor-rows-not-divisible' as const, field: 'types.output_norm.weight' },
      ],
      [
        'qwen2',
        { format: 'safetensors', types: { mix: 'F16' } },
        { code: 'types-not-in-format' as const, field: 'type' },
      ],
    ] as const) {
      const out = fresh();
      const error = await rejection(prune(anyFixture(name), [], out, { format: 'gguf', ...more }));
      expect(error).toFailWith(message);
      expect(existsSync(out)).toBe(false);
    }
  });

  it('of Command R has 64 blocks or no norms of queries and keys', () => {
    const configFile = fixture('cohere-qk-norm', 'config.json');
    const text = readFileSync(configFile, 'utf8').replace(
      '"tie_word_embeddings": false',
      '"tie_word_embeddings": true',
    );
    const { architecture, config } = decoderIn(text, configFile);
    const target = ggufTarget({ architecture, config });
    if (target === undefined) {
      throw new Error('a family that llama.cpp knows');
    }
    const facts = { source: 'config', configFile, architecture, config, target } as const;
    const field = (count: number): string | undefined =>
      llamaCppViolation(facts, Array(count).fill(0))?.field;
    expect([2, 63, 64].map(field)).toEqual(['use_qk_norm', 'use_qk_norm', undefined]);
  });

  it('is refused for norms per head, which a file joins', async () => {
    const written = prune(familyFixture('stablelm-qk-norm'), [], fresh(), { format: 'gguf' });
    expect(await rejection(written)).toFailWith({
      code: 'not-in-gguf',
      file: 'config.json',
      field: 'qk_layernorm',
    });
  });

  it('can be written from another GGUF file with other types', async () => {
    const [first, second] = [fresh(), fresh()];
    await prune(fixture('qwen3'), [], first, { format: 'gguf' });
    const { path } = await openModelFiles(fileIn(first));
    const result = await prune(path, [], second, {
      format: 'gguf',
      types: { mix: 'F16' },
    });
    expect(result.bytesAfter).toBeLessThan(result.bytesBefore);
    const { metadata } = await readGgufHeader(fileIn(second));
    expect(metadata.get('general.file_type')).toBe(1);
  });
});
