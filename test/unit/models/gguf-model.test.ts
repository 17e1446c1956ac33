import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readGgufHeader } from '../../../extension/core/checkpoints/gguf';
import { loadTokenizer } from '../../../extension/core/data/tokenizer';
import { ByteCopier } from '../../../extension/core/export/byte-copier';
import { copied } from '../../../extension/core/export/gguf/gguf-tensors';
import type { GgufTensor } from '../../../extension/core/export/gguf/gguf-tensors';
import { planGguf, writeGguf } from '../../../extension/core/export/gguf/gguf-writer';
import { headerEntry } from '../../../extension/core/export/gguf/header-entries';
import { unattended } from '../../../extension/core/jobs/job';
import { emitRows, emitWeight } from '../../../extension/core/models/parts/weight';
import { openModel } from '../../../extension/core/models/open-model';
import { DataType, GraphBuilder } from '../../../extension/core/onnx/graph-builder';
import { createSession } from '../../../extension/core/runtime/session';
import { floatOutput, int64Tensor } from '../../../extension/core/runtime/tensors';
import {
  flagValue,
  ggufBytes,
  listValue,
  numberValue,
  string,
  textValue,
  uint32,
} from '../checkpoints/gguf-file';
import type { RawValue } from '../checkpoints/gguf-file';
import { tokenizerOfKind } from '../../fixtures/tokenizer-of-kind';
import { computeLogits, rejection } from '../export/pruning';
import { readJson, relativeError } from '../fixtures';
import {
  blockFiles,
  ggufFixture,
  ggufFloats,
  ggufGolden,
  ggufNames,
  sharingKinds,
  tokenizerKinds,
} from '../gguf-fixtures';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
let copies = 0;
const bits = (floats: Float32Array): Uint32Array => new Uint32Array(floats.slice().buffer);

describe.each(blockFiles)('block formats of %s', async (file) => {
  const expected = ggufFloats(`${file}.bin`);
  const { tensors } = await readGgufHeader(ggufFixture(`${file}.gguf`));

  it.each(tensors.map((tensor, i) => [tensor.name, tensor, i] as const))(
    '%s is widened to the bits that the reference gives, whole and by rows',
    async (name, tensor, index) => {
      const graph = new GraphBuilder(name);
      const ids = graph.input('ids', DataType.INT64, ['batch', 'sequence']);
      graph.output('whole', emitWeight(graph, tensor), DataType.FLOAT, tensor.shape);
      graph.output('rows', emitRows(graph, tensor, ids), DataType.FLOAT, [1, 3, 512]);
      const session = await createSession(graph, { device: 'cpu', prepack: false });
      const outputs = await session.run({ ids: int64Tensor(Int32Array.of(1, 0, 1), [1, 3]) });
      await session.release();
      const values = expected.slice(index * 1024, (index + 1) * 1024);
      expect(bits(floatOutput(outputs, 'whole'))).toEqual(bits(values));
      const [first, second] = [values.slice(0, 512), values.slice(512)];
      expect(bits(floatOutput(outputs, 'rows'))).toEqual(
        bits(Float32Array.from([...second, ...first, ...second])),
      );
    },
  );
});

describe('a model in a GGUF file', () => {
  it.each(ggufNames)('%s agrees with transformers to 1e-5', async (name) => {
    const { inputIds, logits } = ggufGolden(name);
    const actual = await computeLogits(ggufFixture(`${name}.gguf`), inputIds);
    expect(relativeError(actual, logits)).toBeLessThan(1e-5);
  });

  /** A copy of a fixture with more keys, or others, and more tensors. */
  const withEntries = async (
    name: string,
    entries: readonly Buffer[],
    more: readonly GgufTensor[] = [],
  ): Promise<string> => {
    const header = await readGgufHeader(ggufFixture(`${name}.gguf`));
    const { blocks } = (await openModel(header.file)).summary;
    const replaced = new Map(
      entries.map((entry) => [entry.toString('utf8', 8, 8 + entry.readUInt32LE()), entry]),
    );
    const layout = { blocks: Array.from({ length: blocks }, (_, block) => block), replaced };
    const tensors = header.tensors.map((tensor) => copied({ name: tensor.name, tensor }));
    const plan = await planGguf(header, layout, [...tensors, ...more]);
    const path = join(folder, `${name}-${copies++}.gguf`);
    const copier = new ByteCopier(plan.bytes, unattended);
    await writeGguf(path, plan, copier);
    await copier.close();
    return path;
  };

  it.each<[string, string, Buffer[]]>([
    ['a window of 0', 'phi3', [headerEntry.integer('phi3.attention.sliding_window', 0)]],
    [
      'branches side by side, though each has a norm',
      'stablelm',
      [headerEntry.flag('stablelm.use_parallel_residual', true)],
    ],
    [
      'a factor of a scaling that is none',
      'llama',
      [
        headerEntry.text('llama.rope.scaling.type', 'none'),
        headerEntry.float('llama.rope.scaling.factor', 4),
      ],
    ],
    [
      'a factor of attention that yarn multiplies',
      'qwen3-yarn',
      [headerEntry.float('qwen3.rope.scaling.attn_factor', 1)],
    ],
  ])('computes what llama.cpp does, given %s', async (_, name, entries) => {
    const { inputIds, logits } = ggufGolden(name);
    const actual = await computeLogits(await withEntries(name, entries), inputIds);
    expect(relativeError(actual, logits)).toBeLessThan(1e-5);
  });

  it('is rejected with a scale for a matrix, which would be ignored', async () => {
    const bytes = new Uint8Array(Float32Array.of(2).buffer);
    const scale = {
      ...{ name: 'blk.0.attn_q.scale', shape: [1], type: 'F32', length: bytes.length },
      source: { kind: 'given', bytes },
    } as const;
    const error = await rejection(openModel(await withEntries('llama', [], [scale])));
    expect(error.message).toMatch(
      /blk\.0\.attn_q\.scale: Separate scale tensors for weights are not supported/,
    );
  });

  it('is summarized like a folder', async () => {
    const { summary } = await openModel(ggufFixture('llama.gguf'));
    // Caches of half precision, regardless of the norms.
    expect(summary.sublayers[0]?.kvBytesPerToken).toBe(2 * 32 * 2);
    expect(summary).toMatchObject({
      name: 'llama',
      path: ggufFixture('llama.gguf'),
      architecture: 'llama',
      blocks: 2,
      hiddenSize: 64,
      maxPositions: 64,
      tiedHead: false,
      warnings: [],
    });
    expect(summary.sublayers.map(({ id }) => id)).toEqual([
      'block.0.attention',
      'block.0.feedforward',
      'block.1.attention',
      'block.1.feedforward',
    ]);
    expect(Object.keys(summary.dtypes)).toEqual(expect.arrayContaining(['F32', 'Q4_0', 'Q8_0']));
    expect((await openModel(ggufFixture('llama.gguf'))).summary.fingerprint).toBe(
      summary.fingerprint,
    );
  });

  it('is found in a folder where it is the only one', async () => {
    const path = join(folder, 'only');
    mkdirSync(path);
    copyFileSync(ggufFixture('llama.gguf'), join(path, 'tiny.Q4_0.gguf'));
    expect((await openModel(path)).summary.name).toBe('tiny.Q4_0');
    copyFileSync(ggufFixture('llama.gguf'), join(path, 'other.gguf'));
    await expect(openModel(path)).rejects.toFailWith({
      ...{ code: 'gguf-file-ambiguous', file: 'only', remedy: /Choose one of them/ },
    });
  });

  const base: readonly (readonly [string, RawValue])[] = [
    ['llama.embedding_length', numberValue(8)],
    ['llama.attention.head_count', numberValue(2)],
  ];
  const sizes = {
    vocab_size: 16,
    embedding_length: 8,
    block_count: 2,
    'attention.head_count': 2,
    feed_forward_length: 8,
    context_length: 16,
    'attention.layer_norm_rms_epsilon': 1,
  };
  const model = (
    changes: Readonly<Record<string, number>>,
    family = 'llama',
  ): (readonly [string, RawValue])[] => [
    ['general.architecture', textValue(family)],
    ...Object.entries({ ...sizes, ...changes }).map(
      ([key, value]) => [`${family}.${key}`, numberValue(value)] as const,
    ),
  ];
  it.each<[string, readonly (readonly [string, RawValue])[], RegExp]>([
    ['no architecture', [], /general\.architecture: The header lacks this key/],
    [
      'unknown',
      [['general.architecture', textValue('rwkv')]],
      /"rwkv" is not supported.*Hugging Face folder.*The page Models/,
    ],
    [
      'part',
      [
        ['general.architecture', textValue('llama')],
        ['split.count', numberValue(2)],
      ],
      /split\.count: .*not named as one/,
    ],
    [
      'experts',
      [
        ['general.architecture', textValue('gemma')],
        ['gemma.expert_count', numberValue(8)],
      ],
      /MoE models are not supported in gemma files/,
    ],
    [
      'missing key',
      [['general.architecture', textValue('llama')], ...base],
      /llama\.\w+.*: The header lacks this key/,
    ],
    [
      'number as text',
      [
        ['general.architecture', textValue('llama')],
        ['llama.embedding_length', textValue('8')],
      ],
      /llama\.embedding_length: Its value is not a number/,
    ],
    ['heads', model({ 'attention.head_count': 3 }), /: llama\.attention\.head_count: A width of 8/],
    ['vocabulary', model({ vocab_size: 0 }), /: llama\.vocab_size: /],
    ['rotary', model({ 'rope.dimension_count': 3 }), /llama\.rope\.dimension_count: 3 dim/],
    ...['block_count', 'nextn_predict_layers'].map(
      (key): [string, readonly (readonly [string, RawValue])[], RegExp] => [
        `${key} of a billion`,
        model({ [key]: 1_258_291_202 }),
        new RegExp(`llama\\.${key}: 1258291202 is not a number of blocks up to 10000`),
      ],
    ),
    [
      'blocks of a billion in a decoder',
      model({ decoder_block_count: 1_258_291_202 }, 't5'),
      /t5\.decoder_block_count: 1258291202 is not a number of blocks up to 10000/,
    ],
    ['no tensors', model({}), /: token_embd\.weight: The checkpoint lacks this tensor/],
    [
      'scaling',
      [...model({}), ['llama.rope.scaling.type', textValue('dynamic')]],
      /llama\.rope\.scaling\.type: Scaling "dynamic" is not supported.*none, linear and yarn/,
    ],
    [
      'windows of a family without any',
      model({ 'attention.sliding_window': 8 }, 'qwen3'),
      /qwen3\.attention\.sliding_window: Sliding windows are not supported in qwen3 files/,
    ],
    [
      'windows',
      [
        ...model({}, 'gemma3'),
        ['gemma3.attention.sliding_window_pattern', listValue(7, 3, Buffer.of(1, 1, 0))],
      ],
      /sliding_window_pattern: It has 3 entries for 2 blocks/,
    ],
  ])('is refused with the key at fault: %s', async (name, metadata, message) => {
    const path = join(folder, `${name}.gguf`);
    writeFileSync(path, ggufBytes(metadata, [], 0));
    const { message: text } = await rejection(openModel(path));
    expect(text).toMatch(message);
    expect(text).not.toContain('config.json');
  });
});

describe('the tokenizer in a GGUF file', () => {
  it.each(['llama.gguf', 'tokenizer-smollm.gguf'])('turns ids into text (%s)', async (name) => {
    const tokenizer = await loadTokenizer(ggufFixture(name));
    const text = 'the pear tree, tied early';
    expect(tokenizer.decode([...tokenizer.encodePlain(text)])).toBe(text);
    expect(tokenizer.prefixToken).toBeGreaterThanOrEqual(0);
  });

  it('gives the ids that transformers gives', async () => {
    const tokenizer = await loadTokenizer(ggufFixture('llama.gguf'));
    const { samples } = readJson<{ samples: { text: string; ids: number[] }[] }>(
      'llama-gqa-untied',
      'golden-tokenizer.json',
    );
    expect(samples.length).toBeGreaterThan(4);
    for (const { text, ids } of samples) {
      expect([...tokenizer.encode(text)], text).toEqual(ids);
    }
  });

  it.each(tokenizerKinds)('divides texts as tokenizers of the kind %s do', async (kind) => {
    const tokenizer = await loadTokenizer(ggufFixture(`tokenizer-${kind}.gguf`));
    const { samples } = JSON.parse(readFileSync(ggufFixture(`tokenizer-${kind}.json`), 'utf8')) as {
      samples: { text: string; ids: number[] }[];
    };
    expect(samples.length).toBeGreaterThan(10);
    for (const { text, ids } of samples) {
      expect([...tokenizer.encode(text)], JSON.stringify(text)).toEqual(ids);
    }
  });

  it.each(
    Object.entries(sharingKinds.kinds).flatMap(([kind, { alike }]) =>
      [kind, ...alike].map((name) => [name, kind] as const),
    ),
  )('divides texts of the kind %s as those of %s', async (name, kind) => {
    const path = join(folder, `of-${name}.gguf`);
    writeFileSync(path, tokenizerOfKind(ggufFixture('tokenizers.gguf'), name));
    const tokenizer = await loadTokenizer(path);
    const ids = sharingKinds.texts.map((text) => [...tokenizer.encode(text)]);
    for (const [i, text] of sharingKinds.texts.entries()) {
      expect([text, ids[i]]).toEqual([text, sharingKinds.kinds[kind]?.ids[i]]);
    }
  });

  it('says that experts in every second block only are not supported', async () => {
    const bytes = readFileSync(ggufFixture('ernie4_5-moe.gguf'));
    const key = 'ernie4_5-moe.interleave_moe_layer_step';
    // The value follows the four bytes of its type.
    bytes.writeUInt32LE(2, bytes.indexOf(key) + key.length + 4);
    const path = join(folder, 'every-second.gguf');
    writeFileSync(path, bytes);
    await expect(openModel(path)).rejects.toThrow(
      `${path}: moe_layer_interval: ernie4_5_moe models with 2 here are not supported yet`,
    );
  });

  const wordPieces = ['<unk>', '<s>', '<0x0A>', '▁', 'a', 'b', 'ab', '▁ab', 'ba', 'é'];
  const makeTokenizer = (name: string, more: readonly (readonly [string, RawValue])[]): string => {
    const path = join(folder, `${name}.gguf`);
    const scores = [0, 0, 0, -9, -9, -9, -2, -3, -1, -9];
    const types = [2, 3, 6, 1, 1, 1, 1, 1, 1, 1];
    const list = (type: number, parts: readonly Buffer[]): RawValue =>
      listValue(type, parts.length, Buffer.concat(parts));
    const keys: readonly (readonly [string, RawValue])[] = [
      ['tokens', list(8, wordPieces.map(string))],
      [
        'scores',
        list(
          6,
          [...scores].map((score) => Buffer.from(Float32Array.of(score).buffer)),
        ),
      ],
      ['token_type', list(5, types.map(uint32))],
      ['bos_token_id', numberValue(1)],
      ...more,
    ];
    const metadata = keys.map(([key, value]) => [`tokenizer.ggml.${key}`, value] as const);
    writeFileSync(path, ggufBytes(metadata, [], 0));
    return path;
  };

  it('joins the pieces of SentencePiece in the order of their scores', async () => {
    const tokenizer = await loadTokenizer(makeTokenizer('spm', [['model', textValue('llama')]]));
    const tokens = (text: string): unknown[] =>
      [...tokenizer.encode(text)].map((id) => wordPieces[id]);
    expect(tokens('ab ab')).toEqual(['<s>', '▁ab', '▁ab']);
    expect(tokens('aba')).toEqual(['<s>', '▁', 'a', 'ba']);
    expect(tokens('a\né')).toEqual(['<s>', '▁', 'a', '<0x0A>', 'é']);
  });

  it.each<[string, readonly (readonly [string, RawValue])[]]>([
    ['Gemma 4', [['model', textValue('gemma4')]]],
    ...['gemma4', 'sarvam-moe', 'granite-embed-multi-311m'].map(
      (kind): [string, readonly (readonly [string, RawValue])[]] => [
        kind,
        [
          ['model', textValue('gpt2')],
          ['pre', textValue(kind)],
          ['add_bos_token', flagValue(true)],
        ],
      ],
    ),
  ])('joins the characters of %s by its merges, and nothing across line ends', async (_, named) => {
    const tokens = ['<unk>', '<bos>', '▁', 'a', 'b', 'ab', '▁ab', '\n', '\n\n', '<0xC3>', '<0xA9>'];
    const types = [2, 3, 1, 1, 1, 1, 1, 1, 1, 6, 6];
    const list = (type: number, parts: readonly Buffer[]): RawValue =>
      listValue(type, parts.length, Buffer.concat(parts));
    const keys: readonly (readonly [string, RawValue])[] = [
      ...named,
      ['tokens', list(8, tokens.map(string))],
      ['token_type', list(5, types.map(uint32))],
      ['merges', list(8, ['a b', '▁ ab', '\n \n', 'b \n'].map(string))],
      ['bos_token_id', numberValue(1)],
    ];
    const path = join(folder, 'gemma4.gguf');
    const metadata = keys.map(([key, value]) => [`tokenizer.ggml.${key}`, value] as const);
    writeFileSync(path, ggufBytes(metadata, [], 0));
    const tokenizer = await loadTokenizer(path);
    const pieces = (text: string): unknown[] => [...tokenizer.encode(text)].map((id) => tokens[id]);
    expect(pieces('ab ab')).toEqual(['<bos>', 'ab', '▁ab']);
    expect(pieces('ab\n\n é')).toEqual(['<bos>', 'ab', '\n\n', '▁', '<0xC3>', '<0xA9>']);
    expect(tokenizer.decode([...tokenizer.encodePlain(' ab é\n')])).toBe(' ab é\n');
  });

  it.each<[string, readonly (readonly [string, RawValue])[], RegExp]>([
    ['kind', [['model', textValue('rwkv')]], /tokenizer\.ggml\.model: .*"rwkv"/],
    ['kind, none,', [['model', textValue('none')]], /model: The file has no tokenizer/],
    ['missing kind', [], /model: The file has no tokenizer/],
    [
      'division',
      [
        ['model', textValue('gpt2')],
        ['pre', textValue('unheard-of')],
      ],
      /tokenizer\.ggml\.pre: Unsupported pre-tokenizer "unheard-of"/,
    ],
    ['merges', [['model', textValue('gpt2')]], /tokenizer\.ggml\.merges: The file lacks/],
  ])('is refused when its %s is not known', async (name, more, message) => {
    await expect(loadTokenizer(makeTokenizer(name, more))).rejects.toThrow(message);
  });

  it('says when there is none', async () => {
    await expect(loadTokenizer(ggufFixture('qwen2.gguf'))).rejects.toFailWith({
      code: 'gguf-tokenizer-missing',
      file: 'qwen2.gguf',
      field: 'tokenizer.ggml.model',
    });
  });
});
