/** Pre-tokenizer of a byte-level tokenizer. */
interface Division {
  readonly preTokenizer: unknown;
  readonly normalizer: unknown;
  /** True if words in the vocabulary bypass merges (`ignore_merges`). */
  readonly wholeWords: boolean;
  /** True if texts start with the BOS token by default. */
  readonly beginsText: boolean;
  /** True if the name is only used for encoders. */
  readonly isForEncoders: boolean;
}

const division = (preTokenizer: unknown, more: Partial<Division> = {}): Division => ({
  preTokenizer,
  normalizer: null,
  wholeWords: false,
  beginsText: false,
  isForEncoders: false,
  ...more,
});

/** Builders of `pre_tokenizer` steps for tokenizer.json, and the word patterns of GGUF pre-tokenizers. */

const byteLevel = (regex: boolean): unknown => ({
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: regex,
});
const split = (regex: string, behavior = 'Isolated'): unknown => ({
  type: 'Split',
  pattern: { Regex: regex },
  behavior,
  invert: false,
});
const digits = (single: boolean): unknown => ({ type: 'Digits', individual_digits: single });
const punctuation = { type: 'Punctuation', behavior: 'Contiguous' };
const sequence = (...steps: unknown[]): unknown => ({
  type: 'Sequence',
  pretokenizers: steps,
});

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const spaces = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const ascii = '!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~';

/** Pattern of Llama 3 and Qwen 2, which differ in the number of digits per piece. */
const words = (numbers: string, ends = spaces): string =>
  `${contractions}|${wordsAlone(numbers, ends)}`;
/** Pattern without contractions: letters after an apostrophe are not split off. */
const wordsAlone = (numbers: string, ends = spaces): string =>
  `[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${numbers}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${ends}`;
const gpt2Words = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)";

/** Llama 3 pattern in which combining marks belong to the preceding letters. */
const markedWords =
  `${contractions}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|` +
  `\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${spaces}`;

/**
 * Pattern that splits between a lowercase and an uppercase letter. `ends` may follow a word, and `lines` may follow
 * punctuation.
 */
function casedWords(
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
const gpt4oWords = (numbers: string): string => casedWords(`${contractions}?`, numbers);
/** Pattern of Kimi K2, which splits off Chinese characters. */
const kimiWords = `[\\p{Han}]+|${casedWords(`${contractions}?`, '\\p{N}{1,3}', {
  lines: '[\\r\\n]*',
  without: '&&[^\\p{Han}]',
})}`;

/** Pattern of DeepSeek V3. `lines` may follow punctuation. */
const deepseekWords = (lines: string, ends: string): string =>
  `[${ascii}][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|` +
  ` ?[\\p{P}\\p{S}]+${lines}|${ends}`;
const deepseek3Words = deepseekWords('[\\r\\n]*', spaces);
const seedWords =
  `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}|` +
  ` ?[^\\s\\p{L}\\p{N}\\r\\n]+|${spaces}`;
const bailingWords =
  "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}|" +
  ' ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+';
/** Pattern in which words joined by single spaces are one piece. */
const phrases =
  `${contractions}|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}|` +
  ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+';
const bloomWords = ' ?[^(\\s|[.,!?…。，、।۔،])]+';
/** Patterns of Jais 2, which split runs of spaces into powers of two. */
const spacePowerPatterns = [
  '\\s*[\\r\\n]+',
  ...[512, 256, 128, 64, 32, 16, 8, 4, '1,2'].map((count) => `\\s{${count}}(?!\\S)`),
  '\\s{1}',
].join('|');
/** Pattern that groups digits by three from the right. */
const digitsFromRight = (digit: string): string => `${digit}{1,3}(?=(?:${digit}{3})*(?!${digit}))`;

/** Character class from hexadecimal code point ranges. */
function characters(ranges: string): string {
  const at = (hex: string): string => String.fromCodePoint(Number.parseInt(hex, 16));
  return `[${ranges
    .split(' ')
    .map((range) => range.split('-').map(at).join('-'))
    .join('')}]`;
}
const ideographsAndKana = `${characters('4E00-9FA5 3040-309F 30A0-30FF')}+`;
const ideographsAndHangul = `${characters('4E00-9FA5 800-4E00 AC00-D7FF')}+`;
/** Pattern of cased letters. */
const casedLetters = `\\s?${characters(
  '41-5A 61-7A B5 C0-D6 D8-F6 F8-1BA 1BC-1BF 1C4-293 295-2AF 370-373 376 377 37B-37D 37F 386 388-38A 38C 38E-3A1 ' +
    '3A3-3F5 3F7-481 48A-52F 531-556 10A0-10C5 13A0-13F5 13F8-13FD 1C90-1CBA 1CBD-1CBF 1D00-1D2B 1D6B-1D77 ' +
    '1D79-1D9A 1E00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D 1F50-1F57 1F59 1F5B 1F5D 1F5F-1F7D 1F80-1FB4 1FB6-1FBC ' +
    '1FBE 1FC2-1FC4 1FC6-1FCC 1FD0-1FD3 1FD6-1FDB 1FE0-1FEC 1FF2-1FF4 1FF6-1FFC 2102 2107 210A-2113 2115 ' +
    '2119-211D 2124 2126 2128 212A-212D 212F-2134 2139 213C-213F 2145-2149 214E 2183 2184 2C00-2C7B 2C7E-2CE4 ' +
    '2CEB-2CEE 2CF2 2CF3 A640-A66D A680-A69B A722-A76F A771-A787 A78B-A78E AB70-ABBF FB00-FB06 FB13-FB17 ' +
    'FF21-FF3A FF41-FF5A 10400-1044F 104B0-104D3 104D8-104FB 10C80-10CB2 10CC0-10CF2 118A0-118DF 1E900-1E943',
)}+`;
const symbolRuns = `\\s?${characters('21-2F 3A-7E FF01-FF0F FF1A-FF5E 2018-201F 3000-3002')}+`;
/** Pattern of Hangul, Chinese punctuation, Bopomofo, and Chinese characters with kana. */
const youtuScripts = [
  'AC00-D7A3 3131-318E',
  'FF01 2026 201C 201D 2018 2019 2014 FF1A FF1B FF0C 3001-303F FE30-FE4F',
  '3105-312F',
  '4E00-9FA5 3040-309F 30A0-30FF',
]
  .map((ranges) => `${characters(ranges)}+`)
  .join('|');
const asianScripts = `${characters(
  '4E00-9FFF 3400-4DBF 8C48-FAFF 3040-309F 30A0-30FF FF65-FF9F 2F00-2FDF E40-E7F E80-EFF 1780-17FF 1000-109F ' +
    'AA60-AA7F A9E0-A9FF AC00-D7AF 1100-11FF',
)}+`;

/** Applies patterns in sequence; each splits the pieces of the previous one. */
const divided = (patterns: readonly unknown[], more?: Partial<Division>): Division =>
  division(
    sequence(
      ...patterns.map((step) => (typeof step === 'string' ? split(step) : step)),
      byteLevel(false),
    ),
    more,
  );

const composed = { normalizer: { type: 'NFC' } };
const beginning = { wholeWords: true, beginsText: true };
const [threeNumbers, oneNumber] = ['\\p{N}{1,3}', '\\p{N}'];

/** Values of `tokenizer.ggml.pre` (llama.cpp, src/llama-vocab.cpp). If several split alike, the first is written. */
const kinds: readonly (readonly [names: string, Division])[] = [
  [
    'gpt-2 olmo mpt phi-2 exaone4 jais trillion granite-docling gigachat a.x-4.0 mellum',
    division(byteLevel(true)),
  ],
  [
    'llama3 llama-v3 llama-bpe lfm2 falcon3 falcon-h1 pixtral midm-2.0 jina-v5-nano',
    divided([words(threeNumbers)], beginning),
  ],
  ['qwen2 deepseek-r1-qwen f2llmv2', divided([words(oneNumber)], composed)],
  ['smaug-bpe dbrx glm4 chatglm-bpe', divided([words(threeNumbers)])],
  ['stablelm2 hunyuan solar-open grok-2 kormo megrez', divided([words(oneNumber)])],
  ['qwen35', divided([markedWords], composed)],
  ['gpt-4o llama4 minimax-m2 kanana2 talkie', divided([gpt4oWords(threeNumbers)])],
  ['granite-embed-multi-97m', divided([gpt4oWords(threeNumbers)], { wholeWords: true })],
  ['tekken', divided([casedWords('', oneNumber)], beginning)],
  [
    'deepseek-v3 hunyuan-dense joyai-llm hy_v4',
    divided([threeNumbers, ideographsAndKana, deepseek3Words]),
  ],
  [
    'spark2_5',
    divided([
      threeNumbers,
      ideographsAndKana,
      deepseekWords('', '[\\r\\n]|\\s+(?!\\S)|\\s+'),
      digits(true),
    ]),
  ],
  [
    'deepseek-llm',
    divided(['[\\r\\n]', casedLetters, symbolRuns, '\\s+$', ideographsAndHangul, digits(true)]),
  ],
  [
    'deepseek-coder',
    divided(['[\\r\\n]', '\\s?\\p{L}+', '\\s?\\p{P}+', ideographsAndHangul, digits(true)]),
  ],
  ['seed-coder', divided([seedWords])],
  [
    'smollm starcoder refact codeshell exaone minerva-7b mellum2',
    division(sequence(digits(true), byteLevel(true))),
  ],
  ['command-r', division(sequence(digits(true), byteLevel(true)), composed)],
  ['bloom poro-chat gpt3-finnish', divided([bloomWords])],
  ['viking', divided([bloomWords, digits(true)])],
  [
    'falcon',
    division(sequence(punctuation, byteLevel(true), digits(false), split('[0-9][0-9][0-9]'))),
  ],
  ['jais-2', divided([words(threeNumbers, spacePowerPatterns)])],
  ['kimi-k2', divided([kimiWords])],
  ['bailingmoe bailingmoe2 llada-moe', divided([bailingWords], composed)],
  ['tiny_aya cohere2moe', divided(['\\d{1,3}(?=(?:\\d{3})*\\b)', gpt4oWords(threeNumbers)])],
  ['exaone-moe', divided([phrases])],
  ['laguna', divided([split('(?:\\r?\\n)+(?!\\r?\\n)', 'MergedWithNext'), words(oneNumber)])],
  ['youtu', divided([youtuScripts, gpt4oWords(oneNumber)], { wholeWords: true })],
  ['afmoe', divided([digitsFromRight(oneNumber), asianScripts, deepseek3Words])],
  ['superbpe', divided(['\\p{N}+', digitsFromRight('\\d')])],
  ['minicpm5', divided([threeNumbers, words('\\p{N}+')], { wholeWords: true })],
  ['ufakzeka', divided([wordsAlone(oneNumber)])],
  [
    'chameleon',
    division(
      sequence(
        split('<sentinel:[0-9]+>'),
        split('(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z'),
        split('([\\t\\n]|    |  )'),
        split(oneNumber),
        split('[\\p{P}!-/:-@\\[-`{-~]'),
        byteLevel(true),
      ),
      { beginsText: true },
    ),
  ],
  ['default', divided(['[\\p{P}\\$\\+<=>\\^~\\|]+', gpt2Words, '\\p{N}+', '[0-9][0-9][0-9]'])],
  [
    'roberta-bpe jina-v1-en jina-v2-code jina-es jina-de jina-v2-es jina-v2-de',
    division(byteLevel(true), { isForEncoders: true }),
  ],
  ['modern-bert', division(byteLevel(true), { ...composed, isForEncoders: true })],
];
const divisions: ReadonlyMap<string, Division> = new Map(
  kinds.flatMap(([names, known]) => names.split(' ').map((name) => [name, known] as const)),
);

/** Values of `tokenizer.ggml.pre` that can be written. */
export const preTokenizerKinds: readonly string[] = [...divisions.keys()];

export function findPreTokenizer(kind: string): Division | undefined {
  return divisions.get(kind);
}

/** Parts of a tokenizer.json that determine how texts are split. */
export interface TextDivision {
  readonly preTokenizer: unknown;
  readonly normalizer: unknown;
  readonly wholeWords: boolean;
}

/**
 * Returns the llama.cpp pre-tokenizer that splits texts the same way, or undefined if there is none. No llama.cpp
 * pre-tokenizer applies NFC, so NFC is ignored if there is no exact match.
 */
export function findPreTokenizerKind(wanted: TextDivision, isEncoder: boolean): string | undefined {
  const named = (text: string, of: (known: TextDivision) => string): string | undefined =>
    [...divisions].find(
      ([, known]) => of(known) === text && (isEncoder || !known.isForEncoders),
    )?.[0];
  return (
    named(canonical(wanted), canonical) ??
    (isComposing(wanted.normalizer)
      ? named(canonical(asComposed(wanted)), (known) => canonical(asComposed(known)))
      : undefined)
  );
}

const isComposing = (normalizer: unknown): boolean =>
  JSON.stringify(normalizer) === JSON.stringify(composed.normalizer);
const asComposed = (of: TextDivision): TextDivision => ({ ...of, ...composed });

/**
 * Patterns whose matches cover the whole text, so that the split behaviors `Isolated` and `Removed` (inverted) are
 * equivalent.
 */
const wholePatterns: ReadonlySet<unknown> = new Set(
  [threeNumbers, oneNumber].flatMap((numbers) => [
    words(numbers),
    gpt4oWords(numbers),
    casedWords('', numbers),
  ]),
);

/** Canonical string of a pre-tokenizer: equal strings produce equal words. */
function canonical({ preTokenizer, normalizer, wholeWords }: TextDivision): string {
  const steps = (value: unknown): unknown[] => {
    const { type, pretokenizers, ...rest } = (value ?? {}) as Record<string, unknown>;
    if (type === 'Sequence' && Array.isArray(pretokenizers)) {
      return pretokenizers.flatMap(steps);
    }
    const whole =
      type === 'ByteLevel' ? { use_regex: true, ...rest } : type === 'Split' ? divider(rest) : rest;
    // Offsets are not used.
    const fields = Object.entries(whole).filter(([name]) => name !== 'trim_offsets');
    return [type, ...fields.sort(([a], [b]) => (a < b ? -1 : 1))];
  };
  return JSON.stringify([steps(preTokenizer), normalizer ?? null, wholeWords]);
}

/** Normalizes line ends in patterns, which may be literal or escaped. */
function divider(step: Record<string, unknown>): Record<string, unknown> {
  const { Regex: written } = (step['pattern'] ?? {}) as Record<string, unknown>;
  if (typeof written !== 'string') {
    return step;
  }
  const pattern = written.replaceAll('\r', '\\r').replaceAll('\n', '\\n');
  const { behavior = '', invert = false } = step;
  const keepsMatches = behavior === 'Removed' && invert === true && wholePatterns.has(pattern);
  return {
    pattern,
    behavior: keepsMatches ? 'Isolated' : behavior,
    invert: keepsMatches ? false : invert,
  };
}
