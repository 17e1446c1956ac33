import {
  asianScripts,
  bailingWords,
  bloomWords,
  byteLevel,
  casedLetters,
  casedWords,
  deepseek3Words,
  deepseekWords,
  digits,
  digitsFromRight,
  gpt2Words,
  gpt4oWords,
  ideographsAndHangul,
  ideographsAndKana,
  kimiWords,
  markedWords,
  phrases,
  spacePowerPatterns,
  punctuation,
  seedWords,
  sequence,
  symbolRuns,
  split,
  words,
  wordsAlone,
  youtuScripts,
} from './word-patterns';

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
