import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readGgufHeader } from '../../../../extension/core/checkpoints/gguf';
import { readGgufArray } from '../../../../extension/core/checkpoints/gguf-values';
import {
  findPreTokenizerKind,
  preTokenizerKinds,
} from '../../../../extension/core/data/gguf/pre-tokenizers';
import { loadTokenizer } from '../../../../extension/core/data/tokenizer';
import { headerEntry } from '../../../../extension/core/export/gguf/header-entries';
import { encoderFixture } from '../../encoder-fixtures';
import { readSamples, tokenizerFile } from '../../gguf-encoder-fixtures';
import { sharingKinds } from '../../gguf-fixtures';
import { prune, rejection } from '../pruning';
import { fileIn, fresh, withEntries } from './family-files';

/** A folder of an encoder with a tokenizer, whose tokenizer_config.json names no special tokens. */
function folderWith(kind: string, changed: object, config: object = {}): string {
  const folder = fresh();
  cpSync(encoderFixture('bert-plain'), folder, { recursive: true });
  const write = (name: string, from: string, fields: object): void => {
    const json = JSON.parse(readFileSync(from, 'utf8')) as object;
    writeFileSync(join(folder, name), JSON.stringify({ ...json, ...fields }));
  };
  write('tokenizer.json', tokenizerFile(kind), changed);
  write('config.json', join(folder, 'config.json'), config);
  writeFileSync(join(folder, 'tokenizer_config.json'), '{"model_max_length":512}');
  return folder;
}

async function written(folder: string): Promise<string> {
  const out = fresh();
  await prune(folder, [], out, { format: 'gguf' });
  return fileIn(out);
}

const bertPair = { type: 'BertProcessing', sep: ['[SEP]', 3], cls: ['[CLS]', 2] };
const robertaPair = {
  ...{ type: 'RobertaProcessing', sep: ['</s>', 2], cls: ['<s>', 0] },
  ...{ trim_offsets: true, add_prefix_space: false },
};

it.each([
  ['word-piece', {}, { bos: 2, eos: 3, seperator: 3, unknown: 1, padding: 0 }],
  ['word-piece', { post_processor: bertPair }, { bos: 2, eos: 3, seperator: 3, unknown: 1 }],
  ['unigram', {}, { bos: 0, eos: 2, unknown: 3 }],
  ['unigram', { post_processor: robertaPair }, { bos: 0, eos: 2, seperator: 2, unknown: 3 }],
])('special tokens of %s with %j need no names', async (kind, changed, expected) => {
  const file = await written(folderWith(kind, changed, { pad_token_id: 0 }));
  const { metadata } = await readGgufHeader(file);
  for (const [name, id] of Object.entries(expected)) {
    expect([name, metadata.get(`tokenizer.ggml.${name}_token_id`)]).toEqual([name, id]);
  }
  expect(metadata.get('tokenizer.ggml.add_bos_token')).toBe(true);
  expect(metadata.get('tokenizer.ggml.add_eos_token')).toBe(true);
  await expectSamples(file, kind);
});

it('ids of special tokens come from config.json if no other file names them', async () => {
  const folder = folderWith(
    'unigram',
    { post_processor: null },
    { bos_token_id: 0, eos_token_id: 2, pad_token_id: 1, mask_token_id: 1e6 },
  );
  const { metadata } = await readGgufHeader(await written(folder));
  const ids = ['bos', 'eos', 'padding', 'mask'].map((name) =>
    metadata.get(`tokenizer.ggml.${name}_token_id`),
  );
  expect(ids).toEqual([0, 2, 1, undefined]);
  expect(metadata.get('tokenizer.ggml.add_bos_token')).toBe(false);
});

it('the end of texts is the one that llama.cpp appends, not the one that ends answers', async () => {
  const folder = folderWith('unigram', {});
  writeFileSync(join(folder, 'tokenizer_config.json'), '{"eos_token":"<pad>"}');
  const { metadata } = await readGgufHeader(await written(folder));
  expect(metadata.get('tokenizer.ggml.eos_token_id')).toBe(2);
  expect(metadata.get('tokenizer.ggml.eot_token_id')).toBe(1);
});

it('rejects an unknown token around texts', async () => {
  const folder = folderWith('word-piece', {
    post_processor: { ...bertPair, cls: ['[START]', 2] },
  });
  const { message } = await rejection(prune(folder, [], fresh(), { format: 'gguf' }));
  expect(message).toMatch(/tokenizer\.json: post_processor: "\[START\]", which is added around/);
});

/** A file whose entry of this name gives way to another. */
const without = async (file: string, name: string, entry: Buffer): Promise<string> =>
  withEntries(file, new Map([[`tokenizer.ggml.${name}`, entry]]));

async function expectSamples(
  file: string,
  kind: string,
  counts: (text: string) => boolean = () => true,
): Promise<void> {
  const tokenizer = await loadTokenizer(file);
  for (const { text, ids } of readSamples(kind).filter((sample) => counts(sample.text))) {
    expect([text, [...tokenizer.encode(text)]]).toEqual([text, ids]);
  }
}

it('files of 2024 call the token in front of texts by its older name', async () => {
  const file = await written(folderWith('word-piece', {}));
  const named = headerEntry.integer('tokenizer.ggml.cls_token_id', 2);
  const older = await without(file, 'bos_token_id', named);
  expect((await readGgufHeader(older)).metadata.has('tokenizer.ggml.bos_token_id')).toBe(false);
  await expectSamples(older, 'word-piece');
});

it('unknown pieces get the number that the file names, for all types', async () => {
  const file = await written(folderWith('unigram', {}));
  const key = 'tokenizer.ggml.token_type';
  const types = (await readGgufHeader(file)).metadata.get(key);
  const list = typeof types === 'object' ? await readGgufArray(file, key, types) : [];
  expect(list[3]).toBe(2);
  const controls = list.map((type) => (type === 2 ? 3 : Number(type)));
  const untyped = await without(file, 'token_type', headerEntry.integers(key, controls));
  await expectSamples(untyped, 'unigram');
  const tokenizer = await loadTokenizer(untyped);
  expect([...tokenizer.encode('Ж')]).toContain(3);
});

const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true };

it.each([
  ['modern-bert', {}],
  ['modern-bert', { pre_tokenizer: bytes }],
  ['gpt-2', { pre_tokenizer: bytes, normalizer: null }],
])('bytes with merges are written as %s with %j', async (kind, changed) => {
  const file = await written(folderWith('byte-level', changed));
  const { metadata } = await readGgufHeader(file);
  expect(metadata.get('tokenizer.ggml.pre')).toBe(kind);
  const named = headerEntry.text('tokenizer.ggml.pre', 'roberta-bpe');
  const published = kind === 'gpt-2' ? await without(file, 'pre', named) : file;
  const isComposed = (text: string): boolean => kind !== 'gpt-2' || text === text.normalize('NFC');
  await expectSamples(published, 'byte-level', isComposed);
});

it('a decoder gets no name of encoders', () => {
  const division = { preTokenizer: bytes, normalizer: { type: 'NFC' }, wholeWords: false };
  expect(findPreTokenizerKind(division, false)).toBe('gpt-2');
  expect(findPreTokenizerKind(division, true)).toBe('modern-bert');
});

const sharing = Object.entries(sharingKinds.kinds).map(([kind, one]) => ({
  ...{ kind, names: [kind, ...one.alike], preTokenizer: one.pre_tokenizer },
  ...{ normalizer: one.normalizer, wholeWords: one.ignore_merges },
  isEncoder: kind === 'modern-bert',
}));

it('every kind has ids that it is held against', () => {
  expect(sharing.flatMap(({ names }) => names).sort()).toEqual([...preTokenizerKinds].sort());
});

it.each(sharing)('a division of the kind $kind is known', ({ names, ...division }) => {
  expect(names).toContain(findPreTokenizerKind(division, division.isEncoder));
});

it.each(sharing)(
  'a tokenizer of the kind $kind with NFC has the kind that composes characters first',
  ({ names, ...division }) => {
    const composing = { ...division, normalizer: { type: 'NFC' } };
    const known = findPreTokenizerKind(composing, division.isEncoder);
    const apart = { stablelm2: 'qwen2', smollm: 'command-r' }[division.kind];
    expect(apart === undefined ? names : [apart]).toContain(known);
    const lowering = { ...division, normalizer: { type: 'Lowercase' } };
    expect(findPreTokenizerKind(lowering, division.isEncoder)).toBeUndefined();
  },
);

it.each([
  ['glm4', 'smaug-bpe'],
  ['gpt-4o', 'gpt-4o'],
  ['laguna', undefined],
])('a pre-tokenizer that keeps the matches of %s has the type %s', (kind, expected) => {
  const text = JSON.stringify(sharingKinds.kinds[kind]?.pre_tokenizer);
  const remaining = text.replace(
    /"behavior":"\w+","invert":false/,
    '"behavior":"Removed","invert":true',
  );
  expect(remaining).not.toBe(text);
  const division = { preTokenizer: JSON.parse(remaining) as object, normalizer: null };
  expect(findPreTokenizerKind({ ...division, wholeWords: false }, false)).toBe(expected);
});

it('line ends in patterns may be written as they are', () => {
  const text = JSON.stringify(sharingKinds.kinds['deepseek-v3']?.pre_tokenizer);
  const raw = text.replaceAll('\\\\r\\\\n', '\\r\\n');
  expect(raw).not.toBe(text);
  const division = { preTokenizer: JSON.parse(raw) as object, normalizer: null };
  expect(findPreTokenizerKind({ ...division, wholeWords: false }, false)).toBe('deepseek-v3');
});

it('a folder of such a kind is written with its name, and read again', async () => {
  const { normalizer, pre_tokenizer: preTokenizer } = sharingKinds.kinds['deepseek-coder'] ?? {};
  const folder = folderWith('byte-level', { normalizer, pre_tokenizer: preTokenizer });
  const file = await written(folder);
  expect((await readGgufHeader(file)).metadata.get('tokenizer.ggml.pre')).toBe('deepseek-coder');
  const [read, original] = [await loadTokenizer(file), await loadTokenizer(folder)];
  for (const text of sharingKinds.texts) {
    expect([text, [...read.encode(text)]]).toEqual([text, [...original.encode(text)]]);
  }
});

const metaspace = { type: 'Metaspace', replacement: '▁' };
const merging = { type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' };
const sequence = (...normalizers: readonly object[]): object => ({
  type: 'Sequence',
  normalizers,
});
const divided = (...pretokenizers: readonly object[]): object => ({
  type: 'Sequence',
  pretokenizers,
});

it.each([
  [{ normalizer: sequence({ type: 'Nmt' }, { type: 'NFKC' }, merging) }, /normalizer: .* no Nmt/],
  [{ normalizer: { type: 'Lowercase' } }, /normalizer: llama\.cpp supports no Lowercase steps/],
  [{ normalizer: { type: 'Strip', strip_left: true, strip_right: true } }, /no Strip steps/],
  [
    { pre_tokenizer: divided({ type: 'Digits', individual_digits: true }, metaspace) },
    /pre_tokenizer: llama\.cpp splits texts of Unigram tokenizers at spaces only/,
  ],
  [{ pre_tokenizer: { type: 'WhitespaceSplit' } }, /pre_tokenizer: .* at spaces only/],
  [{ pre_tokenizer: { ...metaspace, add_prefix_space: false } }, /pre_tokenizer: .* at spaces/],
])('a Unigram tokenizer with %j is refused', async (changed, message) => {
  const asked = prune(folderWith('unigram', changed), [], fresh(), { format: 'gguf' });
  expect((await rejection(asked)).message).toMatch(message);
});

it.each([
  [{ normalizer: null, pre_tokenizer: { ...metaspace, add_prefix_space: false } }, false, false],
  [{ normalizer: null, pre_tokenizer: { ...metaspace, add_prefix_space: true } }, true, false],
  [
    { normalizer: null, pre_tokenizer: divided({ type: 'WhitespaceSplit' }, metaspace) },
    true,
    true,
  ],
])('a Unigram tokenizer with %j is written', async (changed, prefixes, merges) => {
  const file = await written(folderWith('unigram', changed));
  const { metadata } = await readGgufHeader(file);
  expect(metadata.get('tokenizer.ggml.add_space_prefix')).toBe(prefixes);
  expect(metadata.get('tokenizer.ggml.remove_extra_whitespaces')).toBe(merges);
});
