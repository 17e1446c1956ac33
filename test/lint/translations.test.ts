import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from './catalogue';

type Texts = Readonly<Record<string, string>>;
const read = (...path: readonly string[]): Texts =>
  JSON.parse(readFileSync(join(root, ...path), 'utf8')) as Texts;

const languages = readdirSync(join(root, 'l10n')).flatMap(
  (file) => /^bundle\.l10n\.(.+)\.json$/.exec(file)?.slice(1) ?? [],
);

/** Texts that are the same in a language and in English. */
const names: Readonly<Record<string, RegExp>> = {
  'zh-cn':
    /^(CompactifAI|EL2N|FLOPs|GGUF|GraNd|Markdown|NaN|Spearman \{0\}|int[48]|χ \{0\}|(MLP|CPU|Core ML|WebGPU|(NVIDIA|DirectML) GPU)( \(\w+\))?)$/,
};

/** Parts that a translation keeps: placeholders, code, flags in brackets, links, bold text, paths. */
const placeholders =
  /\{\d+\}|`[^`]+`| \(--[^()]+\)|--[a-z][\w-]*|\]\([^)]+\)|\*\*|\n|https?:\S+|espalier\.[a-z]\w*(\.\w+)*/g;
const findKept = (text: string): string[] => (text.match(placeholders) ?? []).sort();

interface Term {
  readonly english: string;
  readonly word: string;
  readonly pattern: RegExp;
}

/** Terms of docs/translating.md with their translation, longer ones first. */
function readGlossary(language: string): Term[] {
  const [head = [], , ...rows] = readFileSync(join(root, 'docs', 'translating.md'), 'utf8')
    .split('## Glossary')[1]
    ?.split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) => line.split('|').map((cell) => cell.trim())) ?? [[]];
  const column = head.indexOf(language);
  return rows
    .map((cells) => ({
      english: cells[1] ?? '',
      word: cells[column] ?? '',
      pattern: new RegExp(String.raw`(?<![\w.#{-])${cells[1] ?? ''}e?s?(?![\w-]|[._:]\w)`, 'gi'),
    }))
    .sort((a, b) => b.english.length - a.english.length);
}

/** Terms of an English text; code and names such as `block.0` are none. */
function termsIn(text: string, glossary: readonly Term[]): Term[] {
  let rest = text.replaceAll(/`[^`]*`|\[[a-z, {}\d]+\]|\{"[^}]*\}|\([a-z]+:[^)]*\)/g, ' ');
  return glossary.filter(({ pattern }) => {
    const before = rest;
    rest = rest.replaceAll(pattern, ' ');
    return rest !== before;
  });
}

describe.each(languages)('the translation to %s', (language) => {
  const pairs = [
    ['l10n/bundle.l10n.json', `l10n/bundle.l10n.${language}.json`],
    ['package.nls.json', `package.nls.${language}.json`],
  ] as const;

  it.each(pairs)('has every message of %s, and no other', (english, translated) => {
    const source = read(english);
    const target = read(translated);
    const missing = Object.keys(source).filter((key) => !(target[key] ?? '').trim());
    expect(
      missing,
      `Add these keys with their translation to ${translated} (docs/translating.md)`,
    ).toEqual([]);
    expect(
      Object.keys(target).filter((key) => !(key in source)),
      `Remove these keys from ${translated}: ${english} has them no more`,
    ).toEqual([]);
  });

  it.each(pairs)('keeps places, code, flags and links of %s', (english, translated) => {
    const target = read(translated);
    const changed = Object.entries(read(english)).flatMap(([key, text]) => {
      const [before, after] = [findKept(text), findKept(target[key] ?? '')];
      return before.join('\0') === after.join('\0') ? [] : [{ key, before, after }];
    });
    expect(changed).toEqual([]);
  });

  it.each(pairs)('translates everything but the names of %s', (english, translated) => {
    const target = read(translated);
    const untranslated = Object.entries(read(english)).filter(
      ([key, text]) => target[key] === text && names[language]?.test(text) !== true,
    );
    expect(untranslated, `Translate these in ${translated}`).toEqual([]);
  });

  it('uses the words of the glossary', () => {
    const glossary = readGlossary(language);
    expect(glossary.length).toBeGreaterThan(50);
    const astray = pairs.flatMap(([english, translated]) => {
      const target = read(translated);
      return Object.entries(read(english)).flatMap(([key, text]) =>
        termsIn(text, glossary)
          .filter(({ english: term, word }) => {
            const said = target[key] ?? '';
            return !said.includes(word) && !said.toLowerCase().includes(term);
          })
          .map(({ english: term, word }) => `${key}: ${term} is ${word}`),
      );
    });
    expect(astray).toEqual([]);
  });
});
