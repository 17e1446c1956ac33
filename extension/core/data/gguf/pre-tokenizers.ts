/** How a kind of byte-level tokenizer divides texts before it merges. */
interface Division {
  readonly preTokenizer: unknown;
  readonly normalizer: unknown;
  /** Words that are tokens as they are need no merges. */
  readonly wholeWords: boolean;
  /** A text begins with the token for that, unless the file says otherwise. */
  readonly beginsText: boolean;
  /** Whether the name is written for encoders alone. */
  readonly ofEncoders: boolean;
}

const byteLevel = (regex: boolean): unknown => ({
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: regex,
});
const split = (regex: string): unknown => ({
  type: 'Split',
  pattern: { Regex: regex },
  behavior: 'Isolated',
  invert: false,
});
const sequence = (...steps: unknown[]): unknown => ({ type: 'Sequence', pretokenizers: steps });
const division = (preTokenizer: unknown, more: Partial<Division> = {}): Division => ({
  preTokenizer,
  normalizer: null,
  wholeWords: false,
  beginsText: false,
  ofEncoders: false,
  ...more,
});

/** The pattern of Llama 3 and Qwen 2, which differ in how many digits stay together. */
const words = (digits: string): string =>
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" +
  `${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
const gpt2Words = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)";

/** The same, where marks belong to the letters in front of them. */
const markedWords =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|" +
  '\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
/** Words end where a capital follows a small letter; `ends` may follow a word. */
function casedWords(ends: string, digits: string): string {
  const [capitals, smalls] = ['\\p{Lu}\\p{Lt}', '\\p{Ll}'].map(
    (letters) => `[${letters}\\p{Lm}\\p{Lo}\\p{M}]`,
  );
  const before = '[^\\r\\n\\p{L}\\p{N}]?';
  return (
    `${before}${capitals}*${smalls}+${ends}|${before}${capitals}+${smalls}*${ends}|` +
    `${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`
  );
}
const deepseekWords =
  '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|' +
  ' ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const seedWords =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}|" +
  ' ?[^\\s\\p{L}\\p{N}\\r\\n]+|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';

const gpt2 = division(byteLevel(true));
const threeDigits = division(sequence(split(words('\\p{N}{1,3}')), byteLevel(false)));
const oneDigit = division(sequence(split(words('\\p{N}')), byteLevel(false)));
const gpt4o = division(
  sequence(split(casedWords("(?i:'s|'t|'re|'ve|'m|'ll|'d)?", '\\p{N}{1,3}')), byteLevel(false)),
);
const deepseek3 = division(
  sequence(
    split('\\p{N}{1,3}'),
    split('[一-龥\u3040-ゟ゠-ヿ]+'),
    split(deepseekWords),
    byteLevel(false),
  ),
);
const llama3 = division(sequence(split(words('\\p{N}{1,3}')), byteLevel(false)), {
  wholeWords: true,
  beginsText: true,
});
const qwen2 = division(sequence(split(words('\\p{N}')), byteLevel(false)), {
  normalizer: { type: 'NFC' },
});
const singleDigits = division(
  sequence({ type: 'Digits', individual_digits: true }, byteLevel(true)),
);

/** By `tokenizer.ggml.pre` (llama.cpp, src/llama-vocab.cpp). */
const divisions: ReadonlyMap<string, Division> = new Map([
  ['gpt-2', gpt2],
  ['llama3', llama3],
  ['llama-v3', llama3],
  ['llama-bpe', llama3],
  ['qwen2', qwen2],
  ['deepseek-r1-qwen', qwen2],
  ['lfm2', llama3],
  ['falcon3', llama3],
  ['pixtral', llama3],
  ['smaug-bpe', threeDigits],
  ['dbrx', threeDigits],
  ['glm4', threeDigits],
  ['chatglm-bpe', threeDigits],
  ['stablelm2', oneDigit],
  ['hunyuan', oneDigit],
  ['olmo', gpt2],
  ['mpt', gpt2],
  [
    'qwen35',
    division(sequence(split(markedWords), byteLevel(false)), { normalizer: { type: 'NFC' } }),
  ],
  ['gpt-4o', gpt4o],
  ['llama4', gpt4o],
  ['minimax-m2', gpt4o],
  [
    'tekken',
    division(sequence(split(casedWords('', '\\p{N}')), byteLevel(false)), {
      wholeWords: true,
      beginsText: true,
    }),
  ],
  ['deepseek-v3', deepseek3],
  ['hunyuan-dense', deepseek3],
  ['seed-coder', division(sequence(split(seedWords), byteLevel(false)))],
  ['smollm', singleDigits],
  ['starcoder', singleDigits],
  ['refact', singleDigits],
  ['command-r', singleDigits],
  [
    'default',
    division(
      sequence(
        split('[\\p{P}\\$\\+<=>\\^~\\|]+'),
        split(gpt2Words),
        split('\\p{N}+'),
        split('[0-9][0-9][0-9]'),
        byteLevel(false),
      ),
    ),
  ],
  // Behind gpt-2: what divides texts alike keeps that name.
  ['roberta-bpe', gpt2],
  ['modern-bert', division(byteLevel(true), { normalizer: { type: 'NFC' }, ofEncoders: true })],
]);

export const preTokenizerKinds: readonly string[] = [...divisions.keys()];

export function preTokenizerOf(kind: string): Division | undefined {
  return divisions.get(kind);
}

/** The parts of a tokenizer.json that say how texts are divided. */
export interface TextDivision {
  readonly preTokenizer: unknown;
  readonly normalizer: unknown;
  readonly wholeWords: boolean;
}

/** The kind that divides texts so, of an encoder or of another model; undefined where none is known. */
export function preTokenizerKindOf(wanted: TextDivision, isEncoder: boolean): string | undefined {
  const text = canonical(wanted);
  const found = [...divisions].find(
    ([, known]) => canonical(known) === text && (isEncoder || !known.ofEncoders),
  );
  return found?.[0];
}

/** Texts that are equal where two divisions give the same words. */
function canonical({ preTokenizer, normalizer, wholeWords }: TextDivision): string {
  const steps = (value: unknown): unknown[] => {
    const { type, pretokenizers, ...rest } = (value ?? {}) as Record<string, unknown>;
    if (type === 'Sequence' && Array.isArray(pretokenizers)) {
      return pretokenizers.flatMap(steps);
    }
    const whole = type === 'ByteLevel' ? { use_regex: true, ...rest } : rest;
    // Offsets are not asked for.
    const fields = Object.entries(whole).filter(([name]) => name !== 'trim_offsets');
    return [type, ...fields.sort(([a], [b]) => (a < b ? -1 : 1))];
  };
  return JSON.stringify([steps(preTokenizer), normalizer ?? null, wholeWords]);
}
