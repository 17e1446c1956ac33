import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { loadTokenizer } from '../../../extension/core/data/tokenizer';
import {
  Charsmap,
  normalizeByClusters,
  normalizeByLongest,
} from '../../../extension/core/data/unigram/native-steps';
import { rejection } from '../export/pruning';

const root = join(import.meta.dirname, '../../fixtures/unigram');
const folder = mkdtempSync(join(tmpdir(), 'espalier-unigram-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

interface Sample {
  readonly text: string;
  readonly normalized: string;
  /** By the package tokenizers. */
  readonly ids: number[];
  /** By SentencePiece. */
  readonly pieces: number[];
}
const readSamples = (name: string): readonly Sample[] =>
  (JSON.parse(readFileSync(join(root, `${name}.json`), 'utf8')) as { samples: Sample[] }).samples;

interface Definition {
  normalizer: { type: string; precompiled_charsmap: unknown };
}
const loadDefinition = (name: string): Definition =>
  JSON.parse(readFileSync(join(root, name, 'tokenizer.json'), 'utf8')) as Definition;
const loadCharsmap = (name: string): Charsmap => {
  const [, encoded = ''] =
    /"precompiled_charsmap":"([^"]+)"/.exec(JSON.stringify(loadDefinition(name))) ?? [];
  return new Charsmap(Buffer.from(encoded, 'base64'));
};

it.each(['xlm-roberta', 't5', 'albert'])('%s divides texts by its own rules', async (name) => {
  const folderTokenizer = await loadTokenizer(join(root, name));
  const fileTokenizer = await loadTokenizer(join(root, `${name}.gguf`));
  for (const { text, ids, pieces } of readSamples(name)) {
    expect([text, [...folderTokenizer.encodePlain(text)]]).toEqual([text, ids]);
    expect([text, [...fileTokenizer.encodePlain(text)]]).toEqual([text, pieces]);
  }
});

it.each(['xlm-roberta', 't5'])('texts of %s are normalized alike', (name) => {
  const charsmap = loadCharsmap(name);
  for (const { text, normalized } of readSamples(name)) {
    expect(normalizeByClusters(charsmap, text)).toBe(normalized);
  }
});

it('the longest rule and the shortest of a cluster differ', () => {
  const charsmap = loadCharsmap('albert');
  // Jamo of a syllable are too long a cluster; of a letter with a mark the shortest rule is the letter's.
  expect(normalizeByLongest(charsmap, '\u1112\u1161\u11ab E\u0301')).toBe('\ud55c \u00e9');
  expect(normalizeByClusters(charsmap, '\u1112\u1161\u11ab E\u0301')).toBe('\u1112\u1161\u11ab e');
});

const spaces = JSON.parse(readFileSync(join(root, 'spaces.json'), 'utf8')) as Record<
  string,
  number[][]
>;

it.each(Object.entries(spaces))(
  '%s divides texts at spaces as llama.cpp does',
  async (name, ids) => {
    const tokenizer = await loadTokenizer(join(root, `${name}.gguf`));
    const texts = readSamples('t5').map(({ text }) => text);
    expect(texts.map((text) => [...tokenizer.encodePlain(text)])).toEqual(ids);
  },
);

const pointing = (unit: number, text = 'x\0'): Buffer =>
  Buffer.concat([Buffer.from(Uint32Array.of(8, 0, unit).buffer), Buffer.from(text)]);
/** A leaf for the character 1 at unit 1, whose value is in the unit of `offset`. */
const leaf = (offset: number): number => (offset << 10) | (1 << 8) | 1;

it.each([null, ''])('a charsmap that is lost, %j, leaves NFKC', async (charsmap) => {
  const definition = loadDefinition('t5');
  definition.normalizer.precompiled_charsmap = charsmap;
  cpSync(join(root, 't5'), folder, { recursive: true });
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(definition));
  const tokenizer = await loadTokenizer(folder);
  expect(tokenizer.encodePlain('\uff21\ufb01')).toEqual(tokenizer.encodePlain('Afi'));
});

it.each([
  ['too short', Buffer.of(4, 0, 0).toString('base64'), /sizes that do not fit/],
  ['a trie alone', pointing(0, '').toString('base64'), /sizes that do not fit/],
  ['a leaf without a value', pointing(leaf(9)).toString('base64'), /outside of its trie/],
  ['a text without an end', pointing(leaf(1), 'x').toString('base64'), /outside of its texts/],
])('a charsmap with %s is refused', async (_, charsmap, message) => {
  const definition = loadDefinition('t5');
  definition.normalizer.precompiled_charsmap = charsmap;
  cpSync(join(root, 't5'), folder, { recursive: true });
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(definition));
  const { message: said } = await rejection(
    loadTokenizer(folder).then((tokenizer) => tokenizer.encode('\u0001')),
  );
  expect(said).toMatch(message);
  expect(said).toContain('tokenizer.json');
});
