import * as v from 'valibot';
import type { ErrorCode } from '../../../error-codes';
import type { Message } from '../../../message';
import { say } from '../../../message';
import { headerEntry, tokenizerKey as key } from '../header-entries';

/** Tokenizer model other than BPE: tokens by id, scores of the pieces, and header entries. */
export interface TokenizerModel {
  readonly vocabulary: readonly (readonly [token: string, id: number])[];
  readonly unknown: string | undefined;
  /** Text stored in the file for a token that isn't special. */
  readonly stored: (token: string) => string;
  readonly entries: (tokens: readonly string[]) => Buffer[];
}

/** Feature of a tokenizer.json that llama.cpp doesn't support. */
export interface Fault {
  readonly field: string;
  readonly code: ErrorCode;
  readonly problem: Message;
}

const parts = {
  normalizer: v.nullish(v.looseObject({ type: v.string() })),
  pre_tokenizer: v.nullish(v.looseObject({ type: v.string() })),
};
const wordPieceSchema = v.looseObject({
  ...parts,
  model: v.looseObject({
    type: v.literal('WordPiece'),
    vocab: v.record(v.string(), v.number()),
    unk_token: v.optional(v.string(), '[UNK]'),
    continuing_subword_prefix: v.optional(v.string(), '##'),
  }),
});
const unigramSchema = v.looseObject({
  ...parts,
  model: v.looseObject({
    type: v.literal('Unigram'),
    vocab: v.array(v.tuple([v.string(), v.number()])),
    unk_id: v.nullish(v.number()),
    byte_fallback: v.nullish(v.boolean()),
  }),
});

/**
 * Reads a WordPiece or Unigram tokenizer, or returns the reason why llama.cpp doesn't support it; undefined for other
 * kinds.
 */
export function readTokenizerModel(json: unknown): TokenizerModel | Fault | undefined {
  if (v.is(wordPieceSchema, json)) {
    return wordPiece(v.parse(wordPieceSchema, json));
  }
  return v.is(unigramSchema, json) ? unigram(v.parse(unigramSchema, json)) : undefined;
}

/**
 * Prefix of continuation pieces in folders. GGUF files instead mark the first piece of a word with
 * ▁.
 */
const continuationPrefix = '##';

function wordPiece({
  normalizer,
  pre_tokenizer: preTokenizer,
  model,
}: v.InferOutput<typeof wordPieceSchema>): TokenizerModel | Fault {
  const fields: Readonly<Record<string, unknown>> = normalizer ?? {};
  const divides =
    preTokenizer?.type === 'BertPreTokenizer' &&
    normalizer?.type === 'BertNormalizer' &&
    model.continuing_subword_prefix === continuationPrefix;
  if (!divides || fields['clean_text'] === false || fields['handle_chinese_chars'] === false) {
    return {
      field: 'normalizer',
      code: 'tokenizer-not-in-gguf',
      problem: say`llama.cpp splits texts into words only as BERT does.`,
    };
  }
  const lowercase = fields['lowercase'] !== false;
  const stripsAccents = fields['strip_accents'] ?? lowercase;
  return {
    vocabulary: Object.entries(model.vocab),
    unknown: model.unk_token,
    stored: (token) =>
      token.startsWith(continuationPrefix) ? token.slice(continuationPrefix.length) : `▁${token}`,
    entries: () => [
      headerEntry.text(key('model'), 'bert'),
      headerEntry.text(key('pre'), 'default'),
      headerEntry.flag(key('normalizer.lowercase'), lowercase),
      headerEntry.flag(key('normalizer.strip_accents'), stripsAccents === true),
    ],
  };
}

type Part = v.InferOutput<typeof parts.normalizer>;
type Step = Readonly<Record<string, unknown>>;

/** The steps of a normalizer or pre-tokenizer, those of sequences one by one. */
function readNormalizerSteps(part: unknown): readonly Step[] {
  const { normalizers, pretokenizers, ...step } = (part ?? {}) as Step;
  const within = normalizers ?? pretokenizers;
  return Array.isArray(within) ? within.flatMap(readNormalizerSteps) : 'type' in step ? [step] : [];
}

const mark = '▁';

/** True for a step that replaces several spaces with one. */
const mergesSpaces = ({ type, pattern, content }: Step): boolean =>
  type === 'Replace' &&
  [' ', mark].includes(String(content)) &&
  JSON.stringify(pattern) === '{"Regex":" {2,}"}';

/** True for a step that strips the spaces around a text. */
const trims = ({ type, pattern, content }: Step): boolean =>
  type === 'Strip' ||
  (type === 'Replace' &&
    content === '' &&
    JSON.stringify(pattern) === JSON.stringify({ Regex: '\\A +| +\\z' }));

/**
 * Normalization that llama.cpp applies before it splits a text into pieces (src/llama-vocab.cpp).
 */
function readSteps(
  normalizer: Part,
  preTokenizer: Part,
): {
  readonly merges: boolean;
  /** Rules of SentencePiece for characters, in base 64. */
  readonly charsmap: string | undefined;
  /** True if a space is added at the start of a text. */
  readonly prefixes: boolean;
} {
  const [normalizes, divides] = [normalizer, preTokenizer].map(readNormalizerSteps);
  const { precompiled_charsmap: charsmap } =
    normalizes?.find(({ type }) => type === 'Precompiled') ?? {};
  const metaspace = divides?.find(({ type }) => type === 'Metaspace') ?? {};
  const { add_prefix_space: adds, prepend_scheme: scheme = adds === false ? 'never' : 'always' } =
    metaspace;
  return {
    merges:
      normalizes?.some(mergesSpaces) === true ||
      divides?.some(({ type }) => type === 'WhitespaceSplit') === true,
    charsmap: typeof charsmap === 'string' ? charsmap : undefined,
    prefixes: scheme !== 'never',
  };
}

function whyOtherSteps(normalizer: Part, preTokenizer: Part): Fault | undefined {
  const { merges, prefixes } = readSteps(normalizer, preTokenizer);
  const normalizes = readNormalizerSteps(normalizer);
  const otherNormalizer = normalizes.find(
    (step) => step['type'] !== 'Precompiled' && !mergesSpaces(step) && !(trims(step) && merges),
  );
  if (otherNormalizer !== undefined) {
    return {
      field: 'normalizer',
      code: 'tokenizer-not-in-gguf',
      problem: say`llama.cpp supports no ${String(otherNormalizer['type'])} steps in Unigram tokenizers.`,
    };
  }
  const divides = readNormalizerSteps(preTokenizer);
  const isKnown =
    divides.filter(({ type, replacement = mark }) => type === 'Metaspace' && replacement === mark)
      .length === 1 &&
    divides.every(({ type }) => type === 'Metaspace' || type === 'WhitespaceSplit');
  return isKnown && (prefixes || !merges)
    ? undefined
    : {
        field: 'pre_tokenizer',
        code: 'tokenizer-not-in-gguf',
        problem: say`llama.cpp splits texts of Unigram tokenizers at spaces only, and keeps each space with the following word.`,
      };
}

/**
 * Entries of a tokenizer with token scores.
 * @param prefixes true if a space is added at the start of a text
 */
export const scoredEntries = (
  kind: string,
  tokens: readonly string[],
  scoreOf: (token: string) => number,
  prefixes: boolean,
): Buffer[] => [
  headerEntry.text(key('model'), kind),
  headerEntry.text(key('pre'), 'default'),
  headerEntry.floats(key('scores'), tokens.map(scoreOf)),
  headerEntry.flag(key('add_space_prefix'), prefixes),
];

/** Score of a piece that is not in the folder's list (conversion/bert.py). */
const unused = -10_000;

function unigram({
  normalizer,
  pre_tokenizer: preTokenizer,
  model,
}: v.InferOutput<typeof unigramSchema>): TokenizerModel | Fault {
  if (model.byte_fallback === true) {
    return {
      field: 'model.byte_fallback',
      code: 'tokenizer-not-in-gguf',
      problem: say`llama.cpp supports no byte tokens in Unigram tokenizers.`,
    };
  }
  const fault = whyOtherSteps(normalizer, preTokenizer);
  if (fault !== undefined) {
    return fault;
  }
  const { merges, charsmap, prefixes } = readSteps(normalizer, preTokenizer);
  const scores = new Map(model.vocab);
  return {
    vocabulary: model.vocab.map(([token], id) => [token, id]),
    unknown: model.vocab[model.unk_id ?? -1]?.[0],
    stored: (token) => token,
    entries: (tokens) => [
      ...scoredEntries('t5', tokens, (token) => scores.get(token) ?? unused, prefixes),
      headerEntry.flag(key('remove_extra_whitespaces'), merges),
      ...(charsmap === undefined
        ? []
        : [headerEntry.bytes(key('precompiled_charsmap'), Buffer.from(charsmap, 'base64'))]),
    ],
  };
}
