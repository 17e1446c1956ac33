import * as v from 'valibot';
import type { Message } from '../../../message';
import { say } from '../../../message';
import { headerEntry, tokenizerKey as key } from '../header-entries';

/** What a tokenizer of another kind than BPE says: tokens by id, scores of pieces, and its entries. */
export interface TokenizerModel {
  readonly vocabulary: readonly (readonly [token: string, id: number])[];
  readonly unknown: string | undefined;
  /** What a token that is not special is in a file. */
  readonly stored: (token: string) => string;
  readonly entries: (tokens: readonly string[]) => Buffer[];
}

/** What llama.cpp can't do of a tokenizer.json. */
export interface Fault {
  readonly field: string;
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

/** A WordPiece or Unigram tokenizer, or what llama.cpp can't do of it; undefined for another kind. */
export function readTokenizerModel(json: unknown): TokenizerModel | Fault | undefined {
  if (v.is(wordPieceSchema, json)) {
    return wordPiece(v.parse(wordPieceSchema, json));
  }
  return v.is(unigramSchema, json) ? unigram(v.parse(unigramSchema, json)) : undefined;
}

/** Pieces behind the first of a word begin so in folders; in files the first of a word begins with ▁ instead. */
const inWord = '##';

function wordPiece({
  normalizer,
  pre_tokenizer: preTokenizer,
  model,
}: v.InferOutput<typeof wordPieceSchema>): TokenizerModel | Fault {
  const fields: Readonly<Record<string, unknown>> = normalizer ?? {};
  const divides =
    preTokenizer?.type === 'BertPreTokenizer' &&
    normalizer?.type === 'BertNormalizer' &&
    model.continuing_subword_prefix === inWord;
  if (!divides || fields['clean_text'] === false || fields['handle_chinese_chars'] === false) {
    return {
      field: 'normalizer',
      problem: say`llama.cpp splits texts into words as BERT does only.`,
    };
  }
  const lowercase = fields['lowercase'] !== false;
  const stripsAccents = fields['strip_accents'] ?? lowercase;
  return {
    vocabulary: Object.entries(model.vocab),
    unknown: model.unk_token,
    stored: (token) => (token.startsWith(inWord) ? token.slice(inWord.length) : `▁${token}`),
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
function stepsOf(part: unknown): readonly Step[] {
  const { normalizers, pretokenizers, ...step } = (part ?? {}) as Step;
  const within = normalizers ?? pretokenizers;
  return Array.isArray(within) ? within.flatMap(stepsOf) : 'type' in step ? [step] : [];
}

const mark = '▁';

/** Whether a step makes one space of several. */
const mergesSpaces = ({ type, pattern, content }: Step): boolean =>
  type === 'Replace' &&
  [' ', mark].includes(String(content)) &&
  JSON.stringify(pattern) === '{"Regex":" {2,}"}';

/** Whether a step takes the spaces around a text. */
const trims = ({ type, pattern, content }: Step): boolean =>
  type === 'Strip' ||
  (type === 'Replace' &&
    content === '' &&
    JSON.stringify(pattern) === JSON.stringify({ Regex: '\\A +| +\\z' }));

/** What llama.cpp does with texts before it looks for pieces (src/llama-vocab.cpp). */
function readSteps(
  normalizer: Part,
  preTokenizer: Part,
): {
  readonly merges: boolean;
  /** Rules of SentencePiece for characters, in base 64. */
  readonly charsmap: string | undefined;
  /** Whether a space stands before a text. */
  readonly prefixes: boolean;
} {
  const [normalizes, divides] = [normalizer, preTokenizer].map(stepsOf);
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
  const normalizes = stepsOf(normalizer);
  const otherNormalizer = normalizes.find(
    (step) => step['type'] !== 'Precompiled' && !mergesSpaces(step) && !(trims(step) && merges),
  );
  if (otherNormalizer !== undefined) {
    return {
      field: 'normalizer',
      problem: say`llama.cpp has no ${String(otherNormalizer['type'])} steps in Unigram tokenizers.`,
    };
  }
  const divides = stepsOf(preTokenizer);
  const isKnown =
    divides.filter(({ type, replacement = mark }) => type === 'Metaspace' && replacement === mark)
      .length === 1 &&
    divides.every(({ type }) => type === 'Metaspace' || type === 'WhitespaceSplit');
  return isKnown && (prefixes || !merges)
    ? undefined
    : {
        field: 'pre_tokenizer',
        problem: say`llama.cpp divides texts of Unigram tokenizers at spaces only, and keeps those with the words behind them.`,
      };
}

/**
 * Of pieces with scores.
 * @param prefixes whether a space stands before a text
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
      problem: say`llama.cpp has no bytes in Unigram tokenizers.`,
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
