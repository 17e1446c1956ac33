import { copyFileSync, cpSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readGgufHeader } from '../../../../extension/core/checkpoints/gguf';
import { loadTokenizer } from '../../../../extension/core/data/tokenizer';
import { openDecoder } from '../../../../extension/core/generate/open-decoder';
import { mixedTypes } from '../../../../extension/core/export/gguf/type-mixes';
import { inEnglish } from '../../../../extension/core/message';
import { unattended } from '../../../../extension/core/jobs/job';
import { inputSums } from '../../../../extension/core/export/gguf/input-sums';
import { openModel, openModelFiles } from '../../../../extension/core/models/open-model';
import {
  encoderFixture,
  encoderGolden,
  encoderOutput,
  seq2seqFixture,
  seq2seqGolden,
} from '../../encoder-fixtures';
import { relativeError } from '../../fixtures';
import { t5File, t5Golden, t5Names, t5Samples, t5Tokenizer } from '../../gguf-t5-fixtures';
import { pruneWidthsIn } from '../../pipelines/width-pruning';
import { temporaryFolder } from '../../temporary-folder';
import { RecordedContext, prune, rejection } from '../pruning';

const root = temporaryFolder();
const pruneWidths = pruneWidthsIn(root);
let count = 0;
const fresh = (): string => join(root, `${count++}`);

const fileIn = (folder: string): string =>
  join(folder, readdirSync(folder).find((name) => name.endsWith('.gguf')) ?? '');

const listIds = async (path: string): Promise<readonly string[]> =>
  (await openModel(path)).summary.sublayers.map(({ id }) => id);

/** A copy of a folder with other fields of config.json and, where asked, the tokenizer. */
function changed(folder: string, fields: Readonly<Record<string, unknown>>): string {
  const copy = fresh();
  cpSync(folder, copy, { recursive: true });
  const config = JSON.parse(readFileSync(join(copy, 'config.json'), 'utf8')) as object;
  writeFileSync(join(copy, 'config.json'), JSON.stringify({ ...config, ...fields }));
  return copy;
}

/** The same folder with 32 channels for 16 and for 24, which rounding to blocks of 32 needs. */
function widened(folder: string): string {
  const file = join(folder, 'model.safetensors');
  const bytes = readFileSync(file);
  const length = Number(bytes.readBigUInt64LE());
  const stored = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Record<
    string,
    { readonly shape?: readonly number[] }
  >;
  let size = 0;
  const tensors = Object.entries(stored).flatMap(([name, { shape: before }]) => {
    if (before === undefined) {
      return [];
    }
    const shape = before.map((one) => (one === 16 || one === 24 ? 32 : one));
    const start = size;
    size += 4 * shape.reduce((product, one) => product * one, 1);
    return [[name, { dtype: 'F32', shape, data_offsets: [start, size] }]];
  });
  const data = Float32Array.from({ length: size / 4 }, (_, i) => Math.sin(i * 7.3) / 10);
  const header = Buffer.from(JSON.stringify(Object.fromEntries(tensors)));
  const before = Buffer.alloc(8);
  before.writeBigUInt64LE(BigInt(header.length));
  writeFileSync(file, Buffer.concat([before, header, Buffer.from(data.buffer)]));
  return folder;
}

/** llama.cpp treats distances from here on alike. */
const farthest = { relative_attention_max_distance: 128 };

describe('T5 in a GGUF file', () => {
  it.each(t5Names)('%s agrees with transformers to 1e-5, every tensor used', async (name) => {
    const { examples, output } = t5Golden(name);
    const model = await openModel(t5File(name));
    expect(model.summary.warnings).toEqual([]);
    expect(relativeError(await encoderOutput(model, examples), output)).toBeLessThan(1e-5);
    const kind = name === 't5encoder' ? 'encoder' : 'encoder-decoder';
    expect(model.kind).toBe(kind);
  });

  it('tokenizes like the folder, and generates after its start token', async () => {
    const path = t5File('t5-gated');
    const tokenizer = await loadTokenizer(path);
    for (const { text, ids } of t5Samples()) {
      expect([text, [...tokenizer.encode(text)]]).toEqual([text, ids]);
    }
    const run = { removed: [], device: 'cpu', memoryBytes: 1 << 30 } as const;
    const { examples } = t5Golden('t5-gated');
    const source = Int32Array.from(Array.from(examples[0]?.['input_ids']?.data ?? [], Number));
    const decoder = await openDecoder(await openModel(path), run);
    const given = { dtype: 'I64' as const, dims: [1, 1], data: BigInt64Array.of(0n) };
    const expected = await encoderOutput(path, [{ ...examples[0], decoder_input_ids: given }]);
    expect(relativeError(await decoder.read(source), expected)).toBeLessThan(1e-5);
    await decoder.dispose();
  });

  it.each(t5Names)(
    '%s is written without whole blocks, including the first of both towers',
    async (name) => {
      const { examples } = t5Golden(name);
      const ids = await listIds(t5File(name));
      const { blocks, encoderBlocks = blocks } = (await openModel(t5File(name))).summary;
      const removed = ids.filter((id) => [0, encoderBlocks].includes(Number(id.split('.')[1])));
      const { path, verification } = await prune(t5File(name), removed, fresh(), {
        format: 'gguf',
      });
      expect(verification.relativeError).toBeLessThan(1e-5);
      const expected = await encoderOutput(t5File(name), examples, removed);
      expect(relativeError(await encoderOutput(fileIn(path), examples), expected)).toBe(0);
      const { metadata } = await readGgufHeader(fileIn(path));
      const counts = ['t5.block_count', 't5.decoder_block_count', 't5encoder.block_count'].map(
        (key) => metadata.get(key),
      );
      const encoder = name === 't5-gated' ? 2 : 1;
      expect(counts).toEqual(
        name === 't5encoder' ? [undefined, undefined, 1] : [encoder, 1, undefined],
      );
    },
  );

  it('keeps single sublayers and a block of each tower, and gives the reason', async () => {
    const path = t5File('t5');
    const asGguf = { format: 'gguf' } as const;
    const alone = prune(path, ['block.2.cross-attention'], fresh(), asGguf);
    await expect(alone).rejects.toFailWith({
      ...{ code: 'single-sublayers', file: 't5.gguf', field: 'gguf blocks' },
    });
    const all = (await listIds(path)).filter((id) => /^block\.[23]\./.test(id));
    const refused = { code: 'blocks-not-removable', field: 't5.decoder_block_count' } as const;
    await expect(prune(path, all, fresh(), asGguf)).rejects.toFailWith({
      ...{ ...refused, file: 't5.gguf' },
    });
    const first = ['block.0.attention', 'block.0.feedforward'];
    await expect(prune(path, first, fresh(), asGguf)).rejects.toFailWith({
      ...{ ...refused, file: 't5.gguf' },
    });
    const folder = changed(seq2seqFixture('t5'), farthest);
    const two = [...first, 'block.1.attention', 'block.1.feedforward'];
    await expect(prune(folder, two, fresh(), asGguf)).rejects.toFailWith({
      ...{ code: 'blocks-not-removable', file: 'config.json', field: 'decoder_layers' },
    });
  });

  it('takes mixes as llama.cpp counts the blocks of two towers, and keeps biases as floats', async () => {
    const { path } = await prune(t5File('t5-gated'), [], fresh(), {
      ...{ format: 'gguf', types: { mix: 'Q4_0' } },
    });
    const { tensors } = await readGgufHeader(fileIn(path));
    const readType = (name: string): string | undefined =>
      tensors.find((tensor) => tensor.name === name)?.dtype;
    expect(readType('enc.blk.0.attn_rel_b.weight')).toBe('F32');
    expect(readType('dec.blk.1.cross_attn_v.weight')).toBe('Q4_0');
    expect(readType('output.weight')).toBe('Q8_0');
    // 8 + 16 values in the order of names, 8 blocks of an encoder.
    const names = ['enc', 'dec'].flatMap((tower) =>
      Array.from({ length: 8 }, (_, block) =>
        ['attn_v', 'ffn_down', ...(tower === 'dec' ? ['cross_attn_v'] : [])].map(
          (part) => `${tower}.blk.${block}.${part}.weight`,
        ),
      ).flat(),
    );
    const shaped = names.map((name) => ({ name, shape: [256, 256] }));
    const facts = { blocks: 8, heads: 4, keyValueHeads: 4, experts: 0, hasImportance: false };
    const types = mixedTypes('Q4_K_M', shaped, facts);
    const more = names.filter((name) => types.get(name) === 'Q6_K').sort();
    expect(more).toEqual(
      [
        // Values 0 to 2 and 21 to 23 of 24, and every third between them.
        ...['dec.blk.0.attn_v', 'dec.blk.0.cross_attn_v', 'dec.blk.1.attn_v'],
        ...['dec.blk.2.cross_attn_v', 'dec.blk.4.attn_v', 'dec.blk.5.cross_attn_v'],
        ...['dec.blk.7.attn_v', 'enc.blk.1.attn_v', 'enc.blk.4.attn_v'],
        ...['enc.blk.5.attn_v', 'enc.blk.6.attn_v', 'enc.blk.7.attn_v'],
        // Feed-forwards 0, 3, 6 of 8, and all from 7 on.
        ...['dec.blk.0.ffn_down', 'dec.blk.3.ffn_down', 'dec.blk.6.ffn_down', 'dec.blk.7.ffn_down'],
        ...Array.from({ length: 8 }, (_, block) => `enc.blk.${block}.ffn_down`),
      ]
        .map((name) => `${name}.weight`)
        .sort(),
    );
  });

  it('has width-pruned MLPs if all have the same width', async () => {
    const plan = [0, 1, 2, 3, 4].map((block) => ({
      sublayer: `block.${block}.feedforward`,
      remove: '0-3',
    }));
    const source = changed(seq2seqFixture('t5'), farthest);
    const asGguf = { format: 'gguf' } as const;
    const uneven = pruneWidths(source, { widths: plan.slice(1) }, 'uneven', asGguf);
    await expect(uneven).rejects.toFailWith({
      ...{ code: 'uneven-widths', file: expect.any(String), field: 'gguf blocks' },
    });
    const result = await pruneWidths(source, { widths: plan }, 'even', asGguf);
    expect(result.verification.relativeError).toBeLessThan(1e-5);
    const { metadata } = await readGgufHeader(fileIn(result.path));
    expect(metadata.get('t5.feed_forward_length')).toBe(20);
  });
});

describe('a GGUF file of a folder of T5', () => {
  it.each(['t5', 't5-gated', 'mt5', 'umt5'])('%s gives the logits of the folder', async (name) => {
    const folder = changed(seq2seqFixture(name), farthest);
    copyFileSync(t5Tokenizer, join(folder, 'tokenizer.json'));
    const { examples } = seq2seqGolden(name);
    const expected = await encoderOutput(folder, examples);
    const out = fresh();
    const { loadsWith, verification } = await prune(folder, [], out, { format: 'gguf' });
    expect(verification.relativeError).toBeLessThan(1e-5);
    expect(relativeError(await encoderOutput(fileIn(out), examples), expected)).toBeLessThan(1e-6);
    // The others' heads are their own, or aren't scaled.
    const isScaled = ['t5', 'umt5'].includes(name);
    expect(inEnglish(loadsWith).includes('scaled in training')).toBe(isScaled);
    const { metadata, tensors } = await readGgufHeader(fileIn(out));
    expect(metadata.get('general.architecture')).toBe('t5');
    expect(metadata.get('t5.decoder_start_token_id')).toBe(0);
    expect(metadata.get('t5.attention.relative_buckets_count')).toBe(
      name === 't5-gated' || name === 'mt5' ? 32 : 8,
    );
    expect(metadata.get('tokenizer.ggml.model')).toBe('t5');
    expect(metadata.get('tokenizer.ggml.add_eos_token')).toBe(true);
    expect(metadata.get('tokenizer.ggml.add_bos_token')).toBe(false);
    const theirs = (
      await readGgufHeader(t5File(name === 'umt5' ? 'umt5' : name === 't5' ? 't5' : 't5-gated'))
    ).tensors;
    const parts = (list: typeof tensors): string[] =>
      [...new Set(list.map((tensor) => tensor.name.replace(/\.\d+\./, '.*.')))].sort();
    expect(parts(tensors)).toEqual([...new Set([...parts(theirs), 'output.weight'])].sort());
  });

  it.each([
    ['t5-gated', seq2seqFixture, seq2seqGolden],
    ['umt5-encoder', encoderFixture, encoderGolden],
  ])('has the names of an importance matrix of %s', async (name, fixtureOf, goldenOf) => {
    const folder = changed(fixtureOf(name), farthest);
    const out = fresh();
    await prune(folder, [], out, { format: 'gguf' });
    const run = { device: 'cpu', memoryBytes: 1 << 30 } as const;
    const [ofFolder, ofFile] = await Promise.all(
      [folder, fileIn(out)].map(async (path) =>
        inputSums(await openModelFiles(path), goldenOf(name).examples, run, unattended),
      ),
    );
    const { tensors } = await readGgufHeader(fileIn(out));
    const matrices = tensors.filter(
      (one) => /blk\..*(?:attn|ffn)_[a-z]+\.weight$/.test(one.name) && !one.name.includes('norm'),
    );
    expect([...(ofFolder?.keys() ?? [])].sort()).toEqual(matrices.map((one) => one.name).sort());
    for (const [one, { sums }] of ofFolder ?? []) {
      expect(relativeError(ofFile?.get(one)?.sums ?? Float32Array.of(), sums)).toBeLessThan(1e-5);
    }
  });

  it('is quantized with an importance matrix of the original, whose blocks count from 0 in each tower', async () => {
    const folder = widened(
      changed(seq2seqFixture('t5'), { ...farthest, d_model: 32, d_kv: 8, d_ff: 32 }),
    );
    const removed = (await listIds(folder)).filter((id) => /^block\.[03]\./.test(id));
    const all = ['enc.blk.0', 'enc.blk.1', 'enc.blk.2', 'dec.blk.0', 'dec.blk.1'];
    const rounded = (blocks: readonly string[]): string[] =>
      blocks.map((block) => `${block}.ffn_up.weight`);
    const importance = new Map(
      rounded(all).map((name, i) => [
        name,
        Float32Array.from({ length: 32 }, (_, at) => 1 + ((at * (i + 3)) % 13)),
      ]),
    );
    const bytesIn = async (
      gone: readonly string[],
      blocks: readonly string[],
    ): Promise<Map<string, string>> => {
      const out = fresh();
      const tensors = Object.fromEntries(rounded(blocks).map((name) => [name, 'Q4_0' as const]));
      const types = { mix: 'F32', tensors, importance } as const;
      await prune(folder, gone, out, { format: 'gguf', types });
      const bytes = readFileSync(fileIn(out));
      return new Map(
        (await readGgufHeader(fileIn(out))).tensors.map(({ name, offset, length }) => [
          name,
          bytes.subarray(offset, offset + length).toString('base64'),
        ]),
      );
    };
    const [full, fewer] = [
      await bytesIn([], all),
      await bytesIn(removed, ['enc.blk.1', 'enc.blk.2', 'dec.blk.1']),
    ];
    for (const [name, inOriginal] of [
      ['enc.blk.0', 'enc.blk.1'],
      ['enc.blk.1', 'enc.blk.2'],
      ['dec.blk.0', 'dec.blk.1'],
    ]) {
      expect(fewer.get(`${name}.ffn_up.weight`)).toBe(full.get(`${inOriginal}.ffn_up.weight`));
    }
  });

  it.each(['spiece.model', 'tokenizer.model'])(
    'reports its size, and why it lacks a tokenizer next to %s',
    async (file) => {
      const folder = changed(encoderFixture('t5-encoder'), farthest);
      const warnings = async (): Promise<readonly string[]> => {
        const context = new RecordedContext();
        const out = fresh();
        await prune(folder, [], out, { format: 'gguf' }, context);
        const { metadata, tensors } = await readGgufHeader(fileIn(out));
        const words = tensors.find(({ name }) => name === 'token_embd.weight');
        expect(metadata.get('t5encoder.vocab_size')).toBe(words?.shape[0]);
        return context.warnings;
      };
      expect(await warnings()).toEqual([]);
      writeFileSync(join(folder, file), '');
      expect(await warnings()).toEqual([
        expect.stringMatching(`no tokenizer: its folder has ${file}, but no tokenizer.json`),
      ]);
      copyFileSync(t5Tokenizer, join(folder, 'tokenizer.json'));
      expect(await warnings()).toEqual([]);
    },
  );

  it.each(['t5-encoder', 'umt5-encoder'])('%s gives the states of the folder', async (name) => {
    const folder = changed(encoderFixture(name), farthest);
    const { examples } = encoderGolden(name);
    const removed = ['block.0.attention', 'block.0.feedforward'];
    for (const removedIds of [[], removed]) {
      const out = fresh();
      const expected = await encoderOutput(folder, examples, removedIds);
      await prune(folder, removedIds, out, { format: 'gguf' });
      const actual = await encoderOutput(fileIn(out), examples);
      expect(relativeError(actual, expected)).toBeLessThan(1e-6);
      const { metadata } = await readGgufHeader(fileIn(out));
      expect(metadata.get('t5encoder.block_count')).toBe(2 - removedIds.length / 2);
      expect(metadata.get('t5encoder.pooling_type')).toBe(0);
    }
  });

  it.each([
    [
      't5',
      {},
      /relative_attention_max_distance: llama\.cpp treats all distances above 128 as equal/,
    ],
    ['t5', { ...farthest, feed_forward_proj: 'silu' }, /feed_forward_proj: llama\.cpp runs t5/],
    ['t5', { ...farthest, architectures: ['T5Model'] }, /architectures: llama\.cpp needs the head/],
    ['bart', {}, /bart models can't be written to GGUF/],
  ])('of %s with %j is refused', async (name, fields, message) => {
    const folder = changed(seq2seqFixture(name), fields);
    const refused = prune(folder, [], fresh(), { format: 'gguf' });
    expect((await rejection(refused)).message).toMatch(message);
  });
});
