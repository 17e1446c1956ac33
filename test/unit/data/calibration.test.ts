import { createHash } from 'node:crypto';
import { appendFileSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadCalibration } from '../../../extension/core/data/calibration';
import type { CalibrationRequest } from '../../../extension/core/data/calibration';
import { loadTokenizer } from '../../../extension/core/data/tokenizer';
import type { LayeredModel } from '../../../extension/core/models/layered-model';
import { openModel } from '../../../extension/core/models/open-model';
import type { Failure } from '../fail-with';
import { fixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';
import { randomRuns } from '../sample';

const folder = temporaryFolder();
let model: LayeredModel;

beforeAll(async () => {
  model = await openModel(fixture('llama-gqa-untied'));
});

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const words = 'the pear tree against the wall stays flat when every branch is tied early ';
const load = async (request: CalibrationRequest) => loadCalibration(request, model, 'no such text');

describe('calibration tokens', () => {
  it('are the first contiguous ones, with their fingerprint', async () => {
    const path = file('text.txt', words.repeat(3));
    const { sequences, summary } = await load({ file: path, sequences: 3, length: 16 });
    const tokenizer = await loadTokenizer(fixture('llama-gqa-untied'));
    const expected = tokenizer.encode(words.repeat(3)).subarray(0, 48);
    expect(sequences.map((sequence) => sequence.length)).toEqual([16, 16, 16]);
    expect(sequences.flatMap((sequence) => [...sequence])).toEqual([...expected]);
    const bytes = new DataView(new ArrayBuffer(4 * 48));
    expected.forEach((id, i) => {
      bytes.setInt32(4 * i, id, true);
    });
    expect(summary).toEqual({
      source: path,
      sequences: 3,
      length: 16,
      tokens: 48,
      fingerprint: createHash('sha256').update(new Uint8Array(bytes.buffer)).digest('hex'),
    });
  });

  it('come from the bundled text if no file is given', async () => {
    const bundled = file('bundled.txt', words.repeat(3));
    const request = { sequences: 2, length: 8 };
    const fromBundle = await loadCalibration(request, model, bundled);
    const fromFile = await load({ ...request, file: bundled });
    expect(fromBundle.summary).toEqual({ ...fromFile.summary, source: 'bundled' });
  });

  it('join the lines of a .jsonl file, without a byte order mark', async () => {
    const texts = ['the pear "tree"', 'second\nline', 'tied early'];
    const lines = texts.map((text) => JSON.stringify({ id: 7, text })).join('\r\n');
    const jsonl = file('lines.jsonl', `\uFEFF${lines}\r\n\n`);
    const plain = file('lines.txt', texts.join('\n\n'));
    const request = { sequences: 1, length: 20 };
    const fromLines = await load({ ...request, file: jsonl });
    expect(fromLines.sequences).toEqual((await load({ ...request, file: plain })).sequences);
  });

  it('are limited by a shorter text, if fewer are enough', async () => {
    const short = file('short.txt', words.repeat(3));
    const tokenizer = await loadTokenizer(fixture('llama-gqa-untied'));
    const whole = Math.floor(tokenizer.encode(words.repeat(3)).length / 8);
    const request = { file: short, sequences: whole + 5, length: 8 };
    await expect(load(request)).rejects.toFailWith({ code: 'text-too-short', file: 'short.txt' });
    const { summary } = await load({ ...request, upTo: true });
    expect(summary.sequences).toBe(whole);
    const few = await load({ ...request, sequences: 2, upTo: true });
    expect(few.summary.sequences).toBe(2);
    await expect(load({ ...request, length: 4000, upTo: true })).rejects.toFailWith({
      code: 'sequence-too-long',
      field: 'length',
    });
  });

  it('are read from a prefix of a long file', async () => {
    const long = file('long.jsonl', `${JSON.stringify({ text: words.repeat(3) })}\n`.repeat(30));
    const request = { sequences: 1, length: 40 };
    const before = await load({ ...request, file: long });
    appendFileSync(long, 'this line is not JSON and is never reached');
    expect(await load({ ...request, file: long })).toEqual(before);
  });
});

describe('a request that cannot be met', () => {
  const cases: [string, () => CalibrationRequest, Failure][] = [
    [
      'a file that is missing',
      () => ({ file: join(folder, 'nowhere.txt'), sequences: 1, length: 8 }),
      { code: 'file-missing', file: 'nowhere.txt' },
    ],
    [
      'a folder',
      () => ({ file: folder, sequences: 1, length: 8 }),
      { code: 'file-not-regular', file: expect.any(String) },
    ],
    [
      'bytes that are not UTF-8',
      () => ({
        file: file('latin1.txt', Buffer.from('caf\xe9', 'latin1')),
        sequences: 1,
        length: 2,
      }),
      { code: 'text-not-utf8', file: 'latin1.txt' },
    ],
    [
      'a character cut at the end of the file',
      () => ({ file: file('cut.txt', Buffer.from('→').subarray(0, 2)), sequences: 1, length: 1 }),
      { code: 'text-not-utf8', file: 'cut.txt' },
    ],
    [
      'an empty text',
      () => ({ file: file('empty.txt', ' \n'), sequences: 1, length: 1 }),
      { code: 'text-empty', file: 'empty.txt' },
    ],
    [
      'a short text',
      () => ({ file: file('short.txt', 'The tree stays flat.'), sequences: 2, length: 8 }),
      { code: 'text-too-short', file: 'short.txt' },
    ],
    [
      'a line that is not JSON',
      () => ({ file: file('a.jsonl', '{"text":"a"}\n\n{"text":'), sequences: 1, length: 1 }),
      { code: 'line-not-json', file: 'a.jsonl', field: 'line 3' },
    ],
    [
      'a line without text',
      () => ({ file: file('b.jsonl', '{"text":"a"}\nnull\n'), sequences: 1, length: 1 }),
      { code: 'line-without-text', file: 'b.jsonl', field: 'line 2' },
    ],
    [
      'sequences longer than the model reads',
      () => ({ file: file('long.txt', words), sequences: 1, length: 65 }),
      { code: 'sequence-too-long', field: 'length', remedy: /Choose at most 64/ },
    ],
    [
      'no sequences',
      () => ({ sequences: 0, length: 8 }),
      { code: 'integer-not-positive', field: 'sequences' },
    ],
    [
      'a broken length',
      () => ({ sequences: 1, length: 1.5 }),
      { code: 'integer-not-positive', field: 'length' },
    ],
    [
      'no number',
      () => ({ sequences: Number.NaN, length: 8 }),
      { code: 'integer-not-positive', field: 'sequences' },
    ],
  ];
  it.each(cases)('is refused: %s', async (_, request, message) => {
    const failure = load(request());
    await expect(failure).rejects.toFailWith(message);
  });

  it('is refused when the tokenizer is larger than the vocabulary', async () => {
    const summary = { ...model.summary, vocabularySize: 50 };
    const request = { file: file('big.txt', words), sequences: 1, length: 8 };
    await expect(loadCalibration(request, { summary }, '')).rejects.toFailWith({
      code: 'token-outside-vocabulary',
      file: 'tokenizer.json',
    });
  });
});

/** Characters that merges, byte fallback, normalization and the split into words treat differently. */
const alphabet = [
  'a',
  'b',
  'e',
  't',
  'h',
  ' ',
  ' ',
  '  ',
  '\n',
  "'s",
  '1',
  '.',
  'é',
  'e\u0301',
  '→',
  '🌳',
  '木',
];
const merges = [
  't h',
  'th e',
  'a b',
  'ab ab',
  '▁ t',
  '▁t h',
  '▁th e',
  '▁ a',
  '▁ ▁',
  '▁▁ ▁▁',
  'a a',
  'aa aa',
];

function bpe(changes: Readonly<Record<string, unknown>>, space = '▁'): object {
  const pieces = merges.map((merge) => merge.replaceAll('▁', space));
  const bytes = Array.from(
    { length: 256 },
    (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`,
  );
  const symbols = ['a', 'b', 'e', 't', 'h', space, '1', '.', 'é'];
  const vocabulary = [
    '<unk>',
    '<s>',
    '</s>',
    ...bytes,
    ...symbols,
    ...pieces.map((piece) => piece.replace(' ', '')),
  ];
  return {
    added_tokens: [],
    model: {
      type: 'BPE',
      unk_token: '<unk>',
      byte_fallback: true,
      vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])),
      merges: pieces,
    },
    ...changes,
  };
}

/** The forms that the families of the architecture table use. */
const tokenizers: readonly [string, object][] = [
  [
    'the whole text as one word, as Llama 2',
    bpe({
      normalizer: {
        type: 'Sequence',
        normalizers: [
          { type: 'Prepend', prepend: '▁' },
          { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
        ],
      },
    }),
  ],
  [
    'byte level with NFC, as Qwen',
    bpe(
      {
        normalizer: { type: 'NFC' },
        pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
      },
      'Ġ',
    ),
  ],
  [
    'an end token appended to the text',
    bpe({
      pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
      post_processor: {
        type: 'TemplateProcessing',
        single: [
          { SpecialToken: { id: '<s>', type_id: 0 } },
          { Sequence: { id: 'A', type_id: 0 } },
          { SpecialToken: { id: '</s>', type_id: 0 } },
        ],
        pair: [],
        special_tokens: {
          '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] },
          '</s>': { id: '</s>', ids: [2], tokens: ['</s>'] },
        },
      },
    }),
  ],
];

describe('tokens of a prefix', () => {
  it.each(tokenizers)('equal those of the whole text: %s', async (name, definition) => {
    const path = join(folder, name);
    mkdirSync(path);
    writeFileSync(join(path, 'tokenizer.json'), JSON.stringify(definition));
    copyFileSync(
      fixture('llama-gqa-untied', 'tokenizer_config.json'),
      join(path, 'tokenizer_config.json'),
    );
    const summary = { ...model.summary, path, vocabularySize: 1000, maxPositions: 1000 };
    const tokenizer = await loadTokenizer(path);
    const text = fc
      .array(fc.constantFrom(...alphabet), { minLength: 1, maxLength: 400 })
      .map((parts) => parts.join(''));
    await fc.assert(
      fc.asyncProperty(text, fc.integer({ min: 1, max: 40 }), async (base, length) => {
        const whole = base.repeat(Math.ceil(6000 / base.length));
        const ids = tokenizer.encode(whole);
        fc.pre(ids.length >= length && whole.trim() !== '');
        const request = { file: file('property.txt', whole), sequences: 1, length };
        const { sequences } = await loadCalibration(request, { summary }, '');
        expect([...(sequences[0] ?? [])]).toEqual([...ids.subarray(0, length)]);
      }),
      { numRuns: randomRuns(40, 10) },
    );
  });
});
