/** Builders of `pre_tokenizer` steps for tokenizer.json, and the word patterns of GGUF pre-tokenizers. */

export const byteLevel = (regex: boolean): unknown => ({
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: regex,
});
export const split = (regex: string, behavior = 'Isolated'): unknown => ({
  type: 'Split',
  pattern: { Regex: regex },
  behavior,
  invert: false,
});
export const digits = (single: boolean): unknown => ({ type: 'Digits', individual_digits: single });
export const punctuation = { type: 'Punctuation', behavior: 'Contiguous' };
export const sequence = (...steps: unknown[]): unknown => ({
  type: 'Sequence',
  pretokenizers: steps,
});

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const spaces = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const ascii = '!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~';

/** Pattern of Llama 3 and Qwen 2, which differ in the number of digits per piece. */
export const words = (numbers: string, ends = spaces): string =>
  `${contractions}|${wordsAlone(numbers, ends)}`;
/** Pattern without contractions: letters after an apostrophe are not split off. */
export const wordsAlone = (numbers: string, ends = spaces): string =>
  `[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${numbers}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${ends}`;
export const gpt2Words =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)";

/** Llama 3 pattern in which combining marks belong to the preceding letters. */
export const markedWords =
  `${contractions}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|` +
  `\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${spaces}`;

/**
 * Pattern that splits between a lowercase and an uppercase letter. `ends` may follow a word, and `lines` may follow
 * punctuation.
 */
export function casedWords(
  ends: string,
  numbers: string,
  { lines = '[\\r\\n/]*', without = '' } = {},
): string {
  const [capitals, smalls] = ['\\p{Lu}\\p{Lt}', '\\p{Ll}'].map(
    (letters) => `[${letters}\\p{Lm}\\p{Lo}\\p{M}${without}]`,
  );
  const before = '[^\\r\\n\\p{L}\\p{N}]?';
  return (
    `${before}${capitals}*${smalls}+${ends}|${before}${capitals}+${smalls}*${ends}|` +
    `${numbers}| ?[^\\s\\p{L}\\p{N}]+${lines}|${spaces}`
  );
}
/** Pattern of GPT-4o. */
export const gpt4oWords = (numbers: string): string => casedWords(`${contractions}?`, numbers);
/** Pattern of Kimi K2, which splits off Chinese characters. */
export const kimiWords = `[\\p{Han}]+|${casedWords(`${contractions}?`, '\\p{N}{1,3}', {
  lines: '[\\r\\n]*',
  without: '&&[^\\p{Han}]',
})}`;

/** Pattern of DeepSeek V3. `lines` may follow punctuation. */
export const deepseekWords = (lines: string, ends: string): string =>
  `[${ascii}][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|` +
  ` ?[\\p{P}\\p{S}]+${lines}|${ends}`;
export const deepseek3Words = deepseekWords('[\\r\\n]*', spaces);
export const seedWords =
  `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}|` +
  ` ?[^\\s\\p{L}\\p{N}\\r\\n]+|${spaces}`;
export const bailingWords =
  "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}|" +
  ' ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+';
/** Pattern in which words joined by single spaces are one piece. */
export const phrases =
  `${contractions}|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}|` +
  ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+';
export const bloomWords = ' ?[^(\\s|[.,!?…。，、।۔،])]+';
/** Patterns of Jais 2, which split runs of spaces into powers of two. */
export const spacePowerPatterns = [
  '\\s*[\\r\\n]+',
  ...[512, 256, 128, 64, 32, 16, 8, 4, '1,2'].map((count) => `\\s{${count}}(?!\\S)`),
  '\\s{1}',
].join('|');
/** Pattern that groups digits by three from the right. */
export const digitsFromRight = (digit: string): string =>
  `${digit}{1,3}(?=(?:${digit}{3})*(?!${digit}))`;

/** Character class from hexadecimal code point ranges. */
function characters(ranges: string): string {
  const at = (hex: string): string => String.fromCodePoint(Number.parseInt(hex, 16));
  return `[${ranges
    .split(' ')
    .map((range) => range.split('-').map(at).join('-'))
    .join('')}]`;
}
export const ideographsAndKana = `${characters('4E00-9FA5 3040-309F 30A0-30FF')}+`;
export const ideographsAndHangul = `${characters('4E00-9FA5 800-4E00 AC00-D7FF')}+`;
/** Pattern of cased letters. */
export const casedLetters = `\\s?${characters(
  '41-5A 61-7A B5 C0-D6 D8-F6 F8-1BA 1BC-1BF 1C4-293 295-2AF 370-373 376 377 37B-37D 37F 386 388-38A 38C 38E-3A1 ' +
    '3A3-3F5 3F7-481 48A-52F 531-556 10A0-10C5 13A0-13F5 13F8-13FD 1C90-1CBA 1CBD-1CBF 1D00-1D2B 1D6B-1D77 ' +
    '1D79-1D9A 1E00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D 1F50-1F57 1F59 1F5B 1F5D 1F5F-1F7D 1F80-1FB4 1FB6-1FBC ' +
    '1FBE 1FC2-1FC4 1FC6-1FCC 1FD0-1FD3 1FD6-1FDB 1FE0-1FEC 1FF2-1FF4 1FF6-1FFC 2102 2107 210A-2113 2115 ' +
    '2119-211D 2124 2126 2128 212A-212D 212F-2134 2139 213C-213F 2145-2149 214E 2183 2184 2C00-2C7B 2C7E-2CE4 ' +
    '2CEB-2CEE 2CF2 2CF3 A640-A66D A680-A69B A722-A76F A771-A787 A78B-A78E AB70-ABBF FB00-FB06 FB13-FB17 ' +
    'FF21-FF3A FF41-FF5A 10400-1044F 104B0-104D3 104D8-104FB 10C80-10CB2 10CC0-10CF2 118A0-118DF 1E900-1E943',
)}+`;
export const symbolRuns = `\\s?${characters('21-2F 3A-7E FF01-FF0F FF1A-FF5E 2018-201F 3000-3002')}+`;
/** Pattern of Hangul, Chinese punctuation, Bopomofo, and Chinese characters with kana. */
export const youtuScripts = [
  'AC00-D7A3 3131-318E',
  'FF01 2026 201C 201D 2018 2019 2014 FF1A FF1B FF0C 3001-303F FE30-FE4F',
  '3105-312F',
  '4E00-9FA5 3040-309F 30A0-30FF',
]
  .map((ranges) => `${characters(ranges)}+`)
  .join('|');
export const asianScripts = `${characters(
  '4E00-9FFF 3400-4DBF 8C48-FAFF 3040-309F 30A0-30FF FF65-FF9F 2F00-2FDF E40-E7F E80-EFF 1780-17FF 1000-109F ' +
    'AA60-AA7F A9E0-A9FF AC00-D7AF 1100-11FF',
)}+`;
