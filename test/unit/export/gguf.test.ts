import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readGgufHeader } from '../../../extension/core/checkpoints/gguf';
import type { GgufHeader } from '../../../extension/core/checkpoints/gguf';
import { readGgufArray } from '../../../extension/core/checkpoints/gguf-values';
import { loadTokenizer } from '../../../extension/core/data/tokenizer';
import { ByteCopier } from '../../../extension/core/export/byte-copier';
import { copied } from '../../../extension/core/export/gguf/gguf-tensors';
import type { GgufTensor } from '../../../extension/core/export/gguf/gguf-tensors';
import { planGguf, writeGguf } from '../../../extension/core/export/gguf/gguf-writer';
import { headerEntry } from '../../../extension/core/export/gguf/header-entries';
import { foreseeRefusals } from '../../../extension/core/export/writable';
import { unattended } from '../../../extension/core/jobs/job';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import type { OpenedModel } from '../../../extension/core/models/opened-model';
import type { Granularity } from '../../../extension/core/prune/options';
import {
  ggufBytes,
  listValue,
  numberValue,
  string,
  textValue,
  uint64,
} from '../checkpoints/gguf-file';
import type { RawTensor, RawValue } from '../checkpoints/gguf-file';
import { fixture, relativeError } from '../fixtures';
import { ggufFixture, ggufGolden } from '../gguf-fixtures';
import { temporaryFolder } from '../temporary-folder';
import { hashes, computeLogits, prune, rejection } from './pruning';
import { randomRuns } from '../sample';

const root = temporaryFolder();
let count = 0;
const fresh = (): string => join(root, `${count++}`);

const wholeBlock = (block: number): string[] => [
  `block.${block}.attention`,
  `block.${block}.feedforward`,
];

function toBytes({
  file,
  offset,
  length,
}: {
  file: string;
  offset: number;
  length: number;
}): Buffer {
  return readFileSync(file).subarray(offset, offset + length);
}

/** Heads, key/value heads and feed-forward sizes of a deci model, block by block. */
async function readLists(path: string): Promise<unknown[]> {
  const { metadata } = await readGgufHeader(path);
  return Promise.all(
    ['attention.head_count', 'attention.head_count_kv', 'feed_forward_length'].map(async (name) => {
      const list = metadata.get(`deci.${name}`);
      return typeof list === 'object' ? readGgufArray(path, name, list) : list;
    }),
  );
}

describe('a pruned GGUF file', () => {
  it.each<[string, number[]]>([
    ['llama', [0]],
    ['llama', [1]],
    ['qwen2', [0]],
    ['gemma', [0]],
    ['gemma2', [1]],
    ['gemma3', [2]],
    ['cohere2', [0]],
    ['gemma3-pattern', [0]],
    ['gemma3-pattern', [1]],
    ['qwen35', [0]],
    ['lfm2', [1]],
    ['lfm2moe', [0]],
    ['glm4moe', [0]],
    ['deepseek2', [0]],
    ['qwen3next', [1]],
    ['granitehybrid', [0]],
    ['nemotron_h', [1]],
    ['nemotron_h_moe', [0]],
    ['falcon-h1', [0]],
    ['mamba', [1]],
    ['mamba2', [0]],
    ['exaone4', [1]],
    ['mistral3', [0]],
    ['ernie4_5-moe', [0]],
    ['hunyuan-moe', [1]],
    ['llama4', [4]],
  ])(
    'of %s without blocks %j gives the logits of the source without them',
    async (name, blocks) => {
      const source = ggufFixture(`${name}.gguf`);
      const { inputIds } = ggufGolden(name);
      const before = hashes(dirname(source));
      const { sublayers } = (await openModel(source)).summary;
      const removed = sublayers.flatMap(({ id, block }) => (blocks.includes(block) ? [id] : []));
      const out = fresh();
      const result = await prune(source, removed, out, { format: 'gguf' });
      // Experts that run one after the other are summed in another order than in one graph.
      expect(result.verification.relativeError).toBeLessThan(1e-6);
      expect(result.files.map((file) => file.name)).toEqual([`${name}.gguf`, 'espalier.json']);
      expect(result.bytesAfter).toBeLessThan(result.bytesBefore);
      const written = join(out, `${name}.gguf`);
      const { summary } = await openModel(written);
      expect(summary.parameters).toBe(result.parametersAfter);
      expect(summary.warnings).toEqual([]);
      const expected = await computeLogits(source, inputIds, removed);
      expect(relativeError(await computeLogits(written, inputIds), expected)).toBe(0);
      expect(hashes(dirname(source))).toEqual(before);
    },
  );

  it.each([
    [0, 'llama.cpp expects a block without attention'],
    [1, 'llama.cpp expects a block with attention'],
  ])('without block %i, the only one of its kind, is refused', async (block, reason) => {
    const removed = [block === 0 ? 'block.0.mixer' : 'block.1.attention', `block.${block}.expert`];
    const refused = prune(ggufFixture('qwen35moe.gguf'), removed, fresh(), { format: 'gguf' });
    await expect(rejection(refused)).resolves.toMatchObject({
      message: expect.stringContaining(reason) as string,
    });
  });

  it('is rejected without its only unrotated block', async () => {
    const removed = [...wholeBlock(4), 'block.3.attention', 'block.3.expert'];
    const refused = prune(ggufFixture('llama4.gguf'), removed, fresh(), { format: 'gguf' });
    await expect(rejection(refused)).resolves.toMatchObject({
      message: expect.stringContaining('without a rotary embedding in llama4 models') as string,
    });
  });

  it('is refused if its experts would be expected in another block', async () => {
    const removed = [...wholeBlock(0), ...wholeBlock(4), 'block.3.attention', 'block.3.expert'];
    const refused = prune(ggufFixture('llama4.gguf'), removed, fresh(), { format: 'gguf' });
    await expect(rejection(refused)).resolves.toMatchObject({
      message: expect.stringContaining(
        'block 0 of this llama4 model, and block 1 has experts. Remove the last blocks, or 2 in a row.',
      ) as string,
    });
  });

  it('is refused if its blocks change the stream outside their sublayers', async () => {
    const refused = prune(ggufFixture('gemma4.gguf'), wholeBlock(0), fresh(), { format: 'gguf' });
    await expect(rejection(refused)).resolves.toMatchObject({
      message: expect.stringContaining('still changes its input') as string,
    });
  });

  it('is refused if llama.cpp derives its queries from the number of blocks', async () => {
    const removed = ['block.1.attention', 'block.1.expert'];
    const refused = prune(ggufFixture('deepseek2-lite.gguf'), removed, fresh(), { format: 'gguf' });
    await expect(rejection(refused)).resolves.toMatchObject({
      message: expect.stringContaining('only with some numbers of blocks, not 1') as string,
    });
  });

  it('lists the blocks with SSM layers after renumbering, and leaves out blocks that predict further tokens', async () => {
    const source = await readGgufHeader(ggufFixture('qwen35.gguf'));
    const key = (name: string): string => `qwen35.${name}`;
    const further: GgufTensor = {
      name: 'blk.3.nextn.eh_proj.weight',
      shape: [2, 2],
      type: 'F32',
      length: 16,
      source: { kind: 'given', bytes: new Uint8Array(16) },
    };
    const plan = await planGguf(
      source,
      {
        blocks: [0, 1, 2, 3],
        replaced: new Map([
          [key('nextn_predict_layers'), headerEntry.integer(key('nextn_predict_layers'), 1)],
        ]),
      },
      [...source.tensors.map((tensor) => copied({ name: tensor.name, tensor })), further],
    );
    const path = join(fresh(), 'further.gguf');
    mkdirSync(dirname(path));
    const copier = new ByteCopier(plan.bytes, unattended);
    await writeGguf(path, plan, copier);
    await copier.close();
    const { inputIds, logits } = ggufGolden('qwen35');
    expect(relativeError(await computeLogits(path, inputIds), logits)).toBeLessThan(1e-5);
    const out = fresh();
    const removed = ['block.0.mixer', 'block.0.feedforward'];
    await prune(path, removed, out, { format: 'gguf' });
    const written = await readGgufHeader(join(out, 'further.gguf'));
    expect(written.metadata.get(key('block_count'))).toBe(2);
    expect(written.metadata.get(key('nextn_predict_layers'))).toBe(0);
    expect(written.tensors.filter(({ name }) => name.includes('nextn'))).toEqual([]);
    const flags = written.metadata.get(key('attention.recurrent_layers'));
    const list = typeof flags === 'object' ? flags : undefined;
    expect(list && (await readGgufArray(written.file, 'flags', list))).toEqual([true, false]);
    expect(
      relativeError(
        await computeLogits(written.file, inputIds),
        await computeLogits(ggufFixture('qwen35.gguf'), inputIds, removed),
      ),
    ).toBe(0);
  });

  it('keeps every key and tensor, byte by byte, but for the number of blocks', async () => {
    const out = fresh();
    await prune(ggufFixture('llama.gguf'), wholeBlock(0), out, { format: 'gguf' });
    const source = await readGgufHeader(ggufFixture('llama.gguf'));
    const written = await readGgufHeader(join(out, 'llama.gguf'));
    expect(Object.keys(Object.fromEntries(written.entries))).toEqual(
      Object.keys(Object.fromEntries(source.entries)),
    );
    for (const [key, entry] of source.entries) {
      const [old, now] = [source, written].map(({ file, entries }) =>
        toBytes({ file, ...(entries.get(key) ?? entry) }),
      );
      if (key === 'llama.block_count') {
        expect(written.metadata.get(key)).toBe(1);
      } else {
        expect(now, key).toEqual(old);
      }
    }
    expect(written.tensors).toHaveLength(12);
    for (const tensor of written.tensors) {
      const name = tensor.name.replace('blk.0.', 'blk.1.');
      const original = source.tensors.find((known) => known.name === name);
      expect(tensor.shape, name).toEqual(original?.shape);
      expect(original && toBytes(tensor).equals(toBytes(original)), name).toBe(true);
    }
    const text = 'Byte by byte, 12345 of them.';
    const [before, after] = await Promise.all(
      [ggufFixture('llama.gguf'), join(out, 'llama.gguf')].map(async (path) =>
        (await loadTokenizer(path)).encode(text),
      ),
    );
    expect(after).toEqual(before);
  });

  it('keeps the entries of the blocks that stay in lists with one for each', async () => {
    const out = fresh();
    await prune(ggufFixture('gemma3-pattern.gguf'), wholeBlock(0), out, { format: 'gguf' });
    const path = join(out, 'gemma3-pattern.gguf');
    const key = 'gemma3.attention.sliding_window_pattern';
    const { metadata } = await readGgufHeader(path);
    const list = metadata.get(key);
    expect(typeof list === 'object' && (await readGgufArray(path, key, list))).toEqual([
      true,
      true,
    ]);
  });

  it('lists the blocks with a sliding window after renumbering', async () => {
    const key = 'gemma3.attention.sliding_window_pattern';
    const patternWithout = async (block: number): Promise<unknown> => {
      const out = fresh();
      await prune(ggufFixture('gemma3.gguf'), wholeBlock(block), out, { format: 'gguf' });
      const path = join(out, 'gemma3.gguf');
      const list = (await readGgufHeader(path)).metadata.get(key);
      return typeof list === 'object' ? readGgufArray(path, key, list) : list;
    };
    expect(await patternWithout(2)).toEqual([true, true, true, true, false]);
    expect(await patternWithout(5)).toBeUndefined();
  });

  it('of a llama without single attentions is a deci model, which can be pruned again', async () => {
    const source = ggufFixture('llama.gguf');
    const { inputIds } = ggufGolden('llama');
    const once = fresh();
    const result = await prune(source, ['block.1.attention'], once, { format: 'gguf' });
    expect(result).toMatchObject({ layout: 'deci', verification: { relativeError: 0 } });
    const path = join(once, 'llama.gguf');
    const { metadata, tensors } = await readGgufHeader(path);
    expect(metadata.get('general.architecture')).toBe('deci');
    expect([...metadata.keys()].filter((key) => key.startsWith('llama.'))).toEqual([]);
    expect(await readLists(path)).toEqual([
      [4, 0],
      [2, 0],
      [96, 96],
    ]);
    expect(tensors.filter(({ name }) => name.startsWith('blk.1.attn'))).toEqual([]);
    const { summary } = await openModel(path);
    expect(summary).toMatchObject({
      absent: ['block.1.attention'],
      parameters: result.parametersAfter,
      warnings: [],
    });
    const expected = await computeLogits(source, inputIds, ['block.1.attention']);
    expect(relativeError(await computeLogits(path, inputIds), expected)).toBe(0);

    const refused = prune(path, wholeBlock(0), fresh(), { format: 'gguf' });
    expect((await rejection(refused)).message).toMatch(/size of the heads from the first block/);
    const twice = fresh();
    await prune(path, ['block.1.feedforward'], twice, { format: 'gguf' });
    expect(await readLists(join(twice, 'llama.gguf'))).toEqual([[4], [2], [96]]);
    const both = await computeLogits(source, inputIds, wholeBlock(1));
    expect(relativeError(await computeLogits(twice, inputIds), both)).toBe(0);
  });

  it('is taken from a folder that holds it alone, and can be pruned again', async () => {
    const once = fresh();
    await prune(ggufFixture('gemma3-pattern.gguf'), wholeBlock(0), once, { format: 'gguf' });
    const twice = fresh();
    const result = await prune(once, wholeBlock(0), twice, { format: 'gguf' });
    expect(result.path).toBe(twice);
    const manifest = JSON.parse(readFileSync(join(twice, 'espalier.json'), 'utf8')) as {
      source: { manifest?: { removed: string[] } };
    };
    expect(manifest.source.manifest?.removed).toEqual(wholeBlock(0));
    const { inputIds } = ggufGolden('gemma3-pattern');
    const removed = [...wholeBlock(0), ...wholeBlock(1)];
    const expected = await computeLogits(ggufFixture('gemma3-pattern.gguf'), inputIds, removed);
    expect(relativeError(await computeLogits(twice, inputIds), expected)).toBe(0);
  });

  it.each<[string, string[], object, RegExp]>([
    [
      'llama',
      ['block.0.attention'],
      { format: 'gguf' },
      /size of the heads from the first block, but block\.0\.attention would be removed/,
    ],
    [
      'llama',
      ['block.1.feedforward'],
      { format: 'gguf' },
      /skips the attention .*, so block\.1\.feedforward can't be removed alone/,
    ],
    [
      'qwen2',
      ['block.0.attention'],
      { format: 'gguf' },
      /attention and MLP in every block of a qwen2 model, but block\.0\.attention would be removed alone.*--granularity block/,
    ],
    ['qwen2', ['block.1.attention'], { format: 'gguf', layout: 'deci' }, /only a llama model/],
    [
      'llama',
      wholeBlock(0),
      { format: 'gguf', layout: 'zeroed' },
      /gguf has no layout zeroed.*Choose blocks or deci/,
    ],
    [
      'llama',
      wholeBlock(0),
      { format: 'safetensors' },
      /cannot be written as safetensors.*Choose gguf/,
    ],
    ['llama', [], { format: 'gguf' }, /would be a copy/],
    [
      'gemma2',
      wholeBlock(0),
      { format: 'gguf' },
      /sliding_window_pattern: llama\.cpp expects a block with a sliding window in gemma2 models/,
    ],
  ])(
    'of %s without %j is refused before anything is written: %j',
    async (name, removed, more, message) => {
      const out = fresh();
      const error = await rejection(prune(ggufFixture(`${name}.gguf`), removed, out, more));
      expect(error.message).toMatch(message);
      expect(existsSync(out)).toBe(false);
    },
  );

  it('without single experts has the same number in every block', async () => {
    const source = ggufFixture('gpt-oss.gguf');
    const out = join(root, 'experts');
    const removed = ['block.0.expert.1', 'block.1.expert.3'];
    await prune(source, removed, out, { format: 'gguf' });
    const { inputIds } = ggufGolden('gpt-oss');
    const expected = await computeLogits(source, inputIds, removed);
    const actual = await computeLogits(join(out, 'gpt-oss.gguf'), inputIds);
    expect(relativeError(actual, expected)).toBeLessThan(1e-6);
    const types = { mix: 'F16' } as const;
    await prune(source, removed, join(root, 'typed'), { format: 'gguf', types });
    await prune(out, [], join(root, 'then-typed'), { format: 'gguf', types });
    const [once, twice] = ['typed', 'then-typed'].map((folder) =>
      readFileSync(join(root, folder, 'gpt-oss-F16.gguf')),
    );
    expect(once?.equals(twice ?? Buffer.of())).toBe(true);
    const uneven = prune(source, ['block.0.expert.1'], join(root, 'uneven'), { format: 'gguf' });
    await expect(uneven).rejects.toMatchObject({ code: 'not-in-gguf' });
  });

  it('of experts takes other types', async () => {
    const out = join(root, 'types');
    const result = await prune(ggufFixture('qwen3moe.gguf'), [], out, {
      format: 'gguf',
      types: { mix: 'F16' },
    });
    expect(result.verification.relativeError).toBeLessThan(1e-2);
  });

  it('keeps routers and kernels, which llama.cpp reads as floats', async () => {
    const out = join(root, 'kernels');
    await prune(ggufFixture('qwen3next.gguf'), [], out, { format: 'gguf', types: { mix: 'F16' } });
    const { tensors } = await readGgufHeader(join(out, 'qwen3next-F16.gguf'));
    const readType = (part: string): unknown =>
      tensors.find(({ name }) => name === `blk.0.${part}.weight`)?.dtype;
    expect(
      ['ffn_gate_inp', 'ssm_conv1d', 'ssm_norm', 'attn_qkv', 'ffn_up_exps'].map(readType),
    ).toEqual(['F32', 'F32', 'F32', 'F16', 'F16']);
  });

  it.each(['qwen3moe', 'cohere2', 'phi3'])(
    '%s can be written without its last block',
    async (name) => {
      const source = ggufFixture(`${name}.gguf`);
      const { sublayers, blocks } = (await openModel(source)).summary;
      const removed = sublayers.flatMap(({ id, block }) => (block === blocks - 1 ? [id] : []));
      await prune(source, removed, join(root, name), { format: 'gguf' });
      const { inputIds } = ggufGolden(name);
      const expected = await computeLogits(source, inputIds, removed);
      const actual = await computeLogits(join(root, name, `${name}.gguf`), inputIds);
      expect(relativeError(actual, expected)).toBeLessThan(1e-6);
    },
  );

  it('of a family that turns by number keeps its order', async () => {
    const source = ggufFixture('smollm3.gguf');
    const first = ['block.0.attention', 'block.0.feedforward'];
    const error = await rejection(prune(source, first, join(root, 'turns'), { format: 'gguf' }));
    expect(error.message).toMatch(
      /would run block 3 differently as block 2\. Remove the last blocks, or 4 in a row/,
    );
  });

  it('of single sublayers is refused before a search, as is GGUF of a family that it does not have', async () => {
    const path = await openModelFiles(ggufFixture('llama.gguf'));
    const qwen2 = await openModelFiles(ggufFixture('qwen2.gguf'));
    const folder = await openModelFiles(fixture('opt'));
    const why = async (
      model: OpenedModel,
      granularity: Granularity,
      { format, protect = [] }: { readonly format?: 'gguf'; readonly protect?: string[] } = {},
    ): Promise<string | undefined> => {
      const asked = format === undefined ? {} : { format };
      return (await foreseeRefusals(model, asked, { granularity, protect })).nothing?.message;
    };
    expect(await why(qwen2, 'sublayer')).toMatch(/every block of a qwen2/);
    expect(await why(path, 'sublayer')).toBeUndefined();
    const protect = ['block.1.attention'];
    expect(await why(path, 'sublayer', { protect })).toMatch(/skips the attention/);
    expect(await why(path, 'feedforward')).toMatch(/skips the attention/);
    const format = 'gguf';
    expect(await why(qwen2, 'block', { format })).toBeUndefined();
    expect(await why(folder, 'block', { format })).toMatch(
      /opt models can't be written to GGUF files.*convert_hf_to_gguf/,
    );
  });
});

/** A file with tensors of `lengths` bytes each, its data beginning at multiples of `alignment`. */
async function withTensors(
  metadata: readonly (readonly [string, RawValue])[],
  lengths: readonly number[],
  alignment: number,
): Promise<GgufHeader> {
  let offset = 0;
  const tensors = lengths.map((length, i): RawTensor => {
    const tensor = { name: `blk.${i}.x`, sizes: [length], type: 24, offset };
    offset += Math.ceil(length / alignment) * alignment;
    return tensor;
  });
  const small = ggufBytes(metadata, tensors, 0);
  const header = small.subarray(0, small.length);
  // ggufBytes pads to 32 bytes; larger alignments need more.
  const padding = Buffer.alloc((alignment - (header.length % alignment)) % alignment);
  const data = Buffer.from(Array.from({ length: offset }, (_, i) => (i * 7 + 1) % 251));
  const path = `${fresh()}.gguf`;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, Buffer.concat([header, padding, data]));
  return readGgufHeader(path);
}

it('any choice of tensors is copied unchanged, with any alignment', async () => {
  const alignments = fc.constantFrom(32, 64, 4096);
  const lengths = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 6 });
  const sizes = fc.constantFrom(4, 10);
  await fc.assert(
    fc.asyncProperty(
      alignments,
      lengths,
      fc.infiniteStream(fc.boolean()),
      sizes,
      async (alignment, all, stays, type) => {
        const blocks = all.map((_, i) => i).filter(() => stays.next().value === true);
        const source = await withTensors(
          [
            ['general.architecture', textValue('x')],
            ['general.alignment', numberValue(alignment)],
            [
              'x.block_count',
              { type, bytes: type === 4 ? numberValue(all.length).bytes : uint64(all.length) },
            ],
            ['x.per_block', listValue(0, all.length, Buffer.from(all))],
            ['tokens', listValue(8, all.length, Buffer.concat(all.map((n) => string(`t${n}`))))],
            ['name', textValue('ß')],
          ],
          all,
          alignment,
        );
        const remaining = blocks.flatMap((block, i) => {
          const tensor = source.tensors[block];
          return tensor === undefined ? [] : [{ name: `blk.${i}.x`, tensor }];
        });
        const plan = await planGguf(source, { blocks }, remaining.map(copied));
        const path = `${fresh()}.gguf`;
        const copier = new ByteCopier(plan.bytes, unattended);
        await writeGguf(path, plan, copier);
        await copier.close();
        expect(readFileSync(path)).toHaveLength(plan.bytes);
        const written = await readGgufHeader(path);
        expect(written.metadata.get('x.block_count')).toBe(blocks.length);
        expect(written.metadata.get('name')).toBe('ß');
        const list = written.metadata.get('x.per_block');
        expect(
          typeof list === 'object' && (await readGgufArray(path, 'x.per_block', list)),
        ).toEqual(blocks.map((block) => all[block]));
        expect(written.tensors.map(toBytes)).toEqual(
          remaining.map(({ tensor }) => toBytes(tensor)),
        );
      },
    ),
    { numRuns: randomRuns(60, 15) },
  );
});
