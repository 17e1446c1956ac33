import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readGgufHeader } from '../../../extension/core/checkpoints/gguf';
import { mixedTypes } from '../../../extension/core/export/gguf/type-mixes';
import { openModel } from '../../../extension/core/models/open-model';
import { familyFixture, fixture, relativeError } from '../fixtures';
import { sampled, sublayerFeatures } from '../sample';
import { temporaryFolder } from '../temporary-folder';
import { computeLogits, prune } from './pruning';
import { pruneWidthsIn } from '../pipelines/width-pruning';

const root = temporaryFolder();
let count = 0;
const fresh = (): string => join(root, `${count++}`);
const ids = [[5, 9, 2, 33, 41, 7, 60, 12, 18, 3, 27, 50]];
const mxfp4 = join(import.meta.dirname, '../../fixtures/quantized/mxfp4');
/** Values of float16 folders, unchanged by any edit. */
const floatValues = { format: 'gguf', types: { mix: 'F32' } } as const;

/** Failure of a model that llama.cpp would run differently, whose field is at fault. */
const notInGguf = { code: 'not-in-gguf', file: 'config.json' } as const;

const fileIn = (folder: string): string =>
  join(folder, readdirSync(folder).find((name) => name.endsWith('.gguf')) ?? '');

/** A family's fixture, with some fields of config.json changed. */
function makeFolder(name: string, changed?: object): string {
  const own = existsSync(familyFixture(name)) ? familyFixture(name) : fixture(name);
  if (changed === undefined) {
    return own;
  }
  const copy = fresh();
  cpSync(own, copy, { recursive: true });
  const file = join(copy, 'config.json');
  const config = JSON.parse(readFileSync(file, 'utf8')) as object;
  writeFileSync(file, JSON.stringify({ ...config, ...changed }));
  return copy;
}

async function typesIn(file: string): Promise<(name: string) => string | undefined> {
  const { tensors } = await readGgufHeader(file);
  return (name) => tensors.find((tensor) => tensor.name === name)?.dtype;
}

/** Ids of all sublayers of a block. */
async function blockIds(folder: string, block: number): Promise<string[]> {
  const { sublayers } = (await openModel(folder)).summary;
  return sublayers.flatMap((one) => (one.block === block ? [one.id] : []));
}

it.each(['glm4_moe', 'dots1-equal-heads', 'deepseek_v2'])(
  'the dense blocks of %s are width-pruned together with its MoE layers',
  async (name) => {
    const folder = makeFolder(name, name === 'deepseek_v2' ? { topk_method: 'greedy' } : undefined);
    const { summary } = await openModel(folder);
    const widths = summary.sublayers
      .filter(({ kind, experts }) => kind === 'feedforward' && experts === undefined)
      .map(({ id }) => ({ sublayer: id, remove: '0-3' }));
    expect(widths).not.toEqual([]);
    const [plain, out] = [fresh(), fresh()];
    await pruneWidthsIn(root)(folder, { widths }, basename(plain), { format: 'safetensors' });
    await pruneWidthsIn(root)(folder, { widths }, basename(out), floatValues);
    const found = await computeLogits(fileIn(out), ids);
    expect(relativeError(found, await computeLogits(plain, ids))).toBeLessThan(1e-4);
  },
);

/** By the families' fixtures: what config.json has otherwise, and a block that can go. */
const families: readonly {
  readonly name: string;
  readonly changed?: object;
  readonly block?: number;
}[] = [
  { name: 'mixtral', block: 1 },
  { name: 'mixtral-fused', changed: { sliding_window: null } },
  { name: 'qwen2_moe', block: 0 },
  { name: 'qwen3-moe', block: 0 },
  { name: 'gpt_oss', block: 0 },
  { name: 'olmoe-equal-heads', block: 0 },
  { name: 'granitemoe', block: 1 },
  { name: 'minimax_m2', block: 0 },
  { name: 'hunyuan_v1_moe', block: 0 },
  { name: 'deepseek_v2', changed: { topk_method: 'greedy' }, block: 0 },
  { name: 'deepseek_v3', block: 2 },
  { name: 'glm4_moe', block: 0 },
  { name: 'dots1-equal-heads', block: 0 },
  { name: 'ernie4_5_moe', block: 1 },
  { name: 'llama4_text-turns', block: 7 },
  { name: 'lfm2', block: 0 },
  { name: 'lfm2_moe-small' },
  { name: 'qwen3_next-sparse', block: 0 },
  { name: 'qwen3_5_text-small' },
  { name: 'qwen3_5_moe_text-small' },
  { name: 'kimi_linear-three', block: 0 },
  { name: 'granitemoehybrid-small' },
  { name: 'bamba-small' },
  { name: 'granitemoehybrid-dense', block: 0 },
  { name: 'falcon_h1-gate-first', block: 0 },
  { name: 'mamba-double', block: 0 },
  { name: 'falcon_mamba-double', block: 1 },
  { name: 'mamba2-plain', block: 0 },
  { name: 'jamba-small' },
  { name: 'ministral3', block: 0 },
  { name: 'phi3-longrope', block: 0 },
];

const pruned = await sampled(
  families.filter(({ block }) => block !== undefined),
  async ({ name }) => sublayerFeatures(makeFolder(name)),
);

describe('a GGUF file of a folder with experts or mixers', () => {
  it.each(families)('of $name gives the logits of the folder', async ({ name, changed }) => {
    const [folder, out] = [makeFolder(name, changed), fresh()];
    await prune(folder, [], out, floatValues);
    const [expected, actual] = [
      await computeLogits(folder, ids),
      await computeLogits(fileIn(out), ids),
    ];
    expect(relativeError(actual, expected)).toBeLessThan(1e-5);
  });

  it.each(pruned)('of $name without a block', async ({ name, changed, block = 0 }) => {
    const [folder, out] = [makeFolder(name, changed), fresh()];
    const removed = await blockIds(folder, block);
    await prune(folder, removed, out, floatValues);
    const expected = await computeLogits(folder, ids, removed);
    expect(relativeError(await computeLogits(fileIn(out), ids), expected)).toBeLessThan(1e-5);
  });

  it.each(['nemotron_h-experts', 'nemotron_h-dense'])(
    'of %s allows steps below the minimum of transformers',
    async (name) => {
      const [folder, out] = [makeFolder(name), fresh()];
      await prune(folder, [], out, floatValues);
      const [expected, actual] = [
        await computeLogits(folder, ids),
        await computeLogits(fileIn(out), ids),
      ];
      expect(relativeError(actual, expected)).toBeLessThan(5e-3);
    },
  );

  it('keeps the blocks of MXFP4, regardless of the type of the other tensors', async () => {
    const folder = mxfp4;
    const expected = await computeLogits(folder, ids);
    for (const types of [{}, { mix: 'Q8_0' }] as const) {
      const out = fresh();
      await prune(folder, [], out, { format: 'gguf', types });
      const readType = await typesIn(fileIn(out));
      expect(readType('blk.0.ffn_gate_exps.weight')).toBe('MXFP4');
      expect(readType('blk.1.ffn_down_exps.weight')).toBe('MXFP4');
      expect(readType('blk.0.attn_q.weight')).toBe('mix' in types ? 'Q8_0' : 'BF16');
      const error = relativeError(await computeLogits(fileIn(out), ids), expected);
      expect(error).toBeLessThan('mix' in types ? 0.1 : 1e-5);
    }
  });

  it('converts MXFP4 if another type is requested', async () => {
    const [folder, out] = [mxfp4, fresh()];
    const tensors = { 'blk.0.ffn_up_exps.weight': 'F16', 'blk.1.ffn_down_exps.weight': 'F32' };
    await prune(folder, [], out, { format: 'gguf', types: { tensors } });
    const readType = await typesIn(fileIn(out));
    expect(readType('blk.0.ffn_up_exps.weight')).toBe('F16');
    expect(readType('blk.0.ffn_gate_exps.weight')).toBe('MXFP4');
    const expected = await computeLogits(folder, ids);
    expect(relativeError(await computeLogits(fileIn(out), ids), expected)).toBeLessThan(1e-5);
  });

  it('quantizes experts, and leaves routers and convolutions as float32', async () => {
    const out = fresh();
    const tensors = { 'blk.1.ffn_up_exps.weight': 'Q8_0' };
    await prune(makeFolder('lfm2_moe-small'), [], out, { format: 'gguf', types: { tensors } });
    const readType = await typesIn(fileIn(out));
    expect(readType('blk.1.ffn_up_exps.weight')).toBe('Q8_0');
    expect(readType('blk.1.ffn_gate_exps.weight')).toBe('F16');
    expect(readType('blk.1.ffn_gate_inp.weight')).toBe('F32');
    expect(readType('blk.1.exp_probs_b.bias')).toBe('F32');
    expect(readType('blk.0.shortconv.conv.weight')).toBe('F32');
  });

  it("uses llama.cpp's fallback types for experts with short rows", () => {
    const types = mixedTypes(
      'Q4_K_S',
      [
        { name: 'blk.3.ffn_up_exps.weight', shape: [4, 16, 32] },
        { name: 'blk.3.ffn_down_exps.weight', shape: [4, 32, 16] },
        { name: 'blk.3.ffn_gate_inp.weight', shape: [4, 32] },
        { name: 'blk.3.ssm_conv1d.weight', shape: [64, 4] },
      ],
      { blocks: 8, heads: 4, keyValueHeads: 4, experts: 4, hasImportance: false },
    );
    expect([...types]).toEqual([
      ['blk.3.ffn_up_exps.weight', 'Q5_0'],
      ['blk.3.ffn_down_exps.weight', 'F16'],
    ]);
  });

  it('keeps attention in better types with eight experts, as llama.cpp does', () => {
    const names = ['attn_v', 'attn_k', 'attn_output', 'attn_q', 'ffn_down_exps', 'ffn_up_exps'];
    const tensors = names.map((part) => ({ name: `blk.2.${part}.weight`, shape: [256, 256] }));
    const model = { blocks: 8, heads: 4, keyValueHeads: 4, hasImportance: false };
    const readTypes = (experts: number): unknown[] => [
      ...mixedTypes('Q4_K_S', tensors, { ...model, experts }).values(),
    ];
    expect(readTypes(8)).toEqual(['Q8_0', 'Q8_0', 'Q5_K', 'Q4_K', 'Q4_K', 'Q4_K']);
    expect(readTypes(4)).toEqual(['Q5_K', 'Q4_K', 'Q4_K', 'Q4_K', 'Q4_K', 'Q4_K']);
  });

  it('gives Falcon the types that llama.cpp gives it', () => {
    const names = ['attn_output', 'ffn_down', 'attn_qkv'];
    const tensors = [
      { name: 'token_embd.weight', shape: [256, 256] },
      ...[0, 1, 2].flatMap((block) =>
        names.map((part) => ({ name: `blk.${block}.${part}.weight`, shape: [256, 256] })),
      ),
    ];
    const model = { blocks: 16, heads: 4, keyValueHeads: 1, experts: 0, hasImportance: false };
    const readTypes = (mix: 'Q3_K_L' | 'Q4_K_M', architecture: string): string =>
      [...mixedTypes(mix, tensors, { ...model, architecture }).values()].join(' ');
    const third = 'Q4_K Q4_K Q4_K';
    expect(readTypes('Q3_K_L', 'falcon')).toBe(`Q8_0 ${third} ${third} ${third}`);
    expect(readTypes('Q4_K_M', 'falcon')).toBe('Q8_0 Q4_K Q6_K Q5_K Q4_K Q5_K Q5_K Q4_K Q4_K Q5_K');
    expect(readTypes('Q4_K_M', 'gpt2')).toBe('Q6_K Q4_K Q6_K Q5_K Q4_K Q6_K Q5_K Q4_K Q4_K Q5_K');
  });

  it.each(['qwen2_moe', 'gpt_oss', 'glm4_moe'])(
    'of %s without the same number of experts in every block',
    async (name) => {
      const [folder, out] = [makeFolder(name), fresh()];
      const { sublayers } = (await openModel(folder)).summary;
      const removed = sublayers.flatMap(({ id, experts }, i) =>
        experts === undefined ? [] : [`${id}.${i % 4}`],
      );
      expect(removed).not.toEqual([]);
      await prune(folder, removed, out, floatValues);
      const expected = await computeLogits(folder, ids, removed);
      expect(relativeError(await computeLogits(fileIn(out), ids), expected)).toBeLessThan(1e-5);
    },
  );

  it('leaves out blocks that predict further tokens', async () => {
    const { num_hidden_layers: blocks } = JSON.parse(
      readFileSync(join(familyFixture('glm4_moe'), 'config.json'), 'utf8'),
    ) as { num_hidden_layers: number };
    const folder = makeFolder('glm4_moe', { num_hidden_layers: blocks - 1 });
    const out = fresh();
    await prune(folder, [], out, floatValues);
    const { tensors } = await readGgufHeader(fileIn(out));
    const blockNames = (block: number): number =>
      tensors.filter(({ name }) => name.startsWith(`blk.${block}.`)).length;
    expect(blockNames(blocks - 2)).toBeGreaterThan(0);
    expect(blockNames(blocks - 1)).toBe(0);
  });

  it('keeps the router of an MoE layer with one expert left', async () => {
    const [folder, out] = [makeFolder('mixtral'), fresh()];
    const { sublayers } = (await openModel(folder)).summary;
    const removed = sublayers.flatMap(({ id, experts }) =>
      Array.from({ length: (experts?.count ?? 1) - 1 }, (_, i) => `${id}.${i + 1}`),
    );
    await prune(folder, removed, out, { ...floatValues });
    const expected = await computeLogits(folder, ids, removed);
    expect(relativeError(await computeLogits(fileIn(out), ids), expected)).toBeLessThan(1e-5);
  });

  it('is refused, naming the field', async () => {
    for (const [name, changed, field] of [
      ['deepseek_v2', undefined, 'topk_method'],
      ['deepseek_v3', { rope_interleave: false }, 'rope_interleave'],
      ['qwen2_moe', { norm_topk_prob: true }, 'norm_topk_prob'],
      ['qwen3_next-small', undefined, 'num_experts'],
      ['nemotron_h', undefined, 'num_experts'],
      ['olmoe', undefined, 'num_key_value_heads'],
      ['gpt_oss', { swiglu_limit: 5 }, 'swiglu_limit'],
      ['llama4_text', undefined, 'floor_scale'],
      ['falcon_h1-scaled', undefined, 'mamba_norm_before_gate'],
      ['mamba2-small', undefined, 'use_bias'],
      ['mamba2-plain', { time_step_limit: [0, 0.1] }, 'time_step_limit'],
      ['mamba-small', undefined, 'hidden_size'],
    ] as const) {
      const written = prune(makeFolder(name, changed), [], fresh(), { format: 'gguf' });
      await expect(written, name).rejects.toFailWith({ ...notInGguf, field });
    }
    // llama.cpp weights its experts differently than in training.
    const phimoe = prune(makeFolder('phimoe'), [], fresh(), { format: 'gguf' });
    await expect(phimoe).rejects.toFailWith({
      ...{ code: 'not-in-gguf', file: 'phimoe', field: 'gguf blocks' },
    });
  });

  it('is refused if llama.cpp needs a kind of block that is removed', async () => {
    for (const [name, block] of [
      ['lfm2_moe-small', 0],
      ['jamba-small', 1],
    ] as const) {
      const folder = makeFolder(name);
      const removed = await blockIds(folder, block);
      const written = prune(folder, removed, fresh(), { format: 'gguf' });
      await expect(written).rejects.toFailWith({ ...notInGguf, field: 'layer_types' });
    }
  });
});
