import { join } from 'node:path';
import * as v from 'valibot';
import { findPreTokenizerKind } from '../../data/gguf/pre-tokenizers';
import { readJsonObject } from '../../data/json-object';
import { downloadTokenizer } from '../../data/tokenizer-settings';
import type { GgufTraits } from '../../models/gguf/gguf-traits';
import type { ErrorCode } from '../../error-codes';
import { UserError } from '../../user-error';
import { readTokenizerModel, scoredEntries } from './encoders/tokenizer-models';
import type { TokenizerModel } from './encoders/tokenizer-models';
import { headerEntry, tokenizerKey as key } from './header-entries';
import { specialEntries } from './special-tokens';
import { say } from '../../message';
import type { Message } from '../../message';

/** Token types (`enum llama_token_type`). */
const types = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

const nothing = v.nullish(v.unknown());
const aroundSchema = v.looseObject({
  added_tokens: v.optional(
    v.array(v.looseObject({ id: v.number(), content: v.string(), special: v.boolean() })),
    [],
  ),
  post_processor: nothing,
});
type Around = v.InferOutput<typeof aroundSchema>;
const tokenizerSchema = v.looseObject({
  ...aroundSchema.entries,
  normalizer: nothing,
  pre_tokenizer: nothing,
  model: v.looseObject({
    type: v.literal('BPE'),
    vocab: v.record(v.string(), v.number()),
    merges: v.array(v.union([v.string(), v.tuple([v.string(), v.string()])])),
    unk_token: v.nullish(v.string()),
    byte_fallback: v.nullish(v.boolean()),
    ignore_merges: v.nullish(v.boolean()),
  }),
});
type Tokenizer = v.InferOutput<typeof tokenizerSchema>;

/**
 * The `tokenizer.ggml.` entries of a folder's tokenizer.json: byte-level BPE (`gpt2`), SentencePiece's
 * BPE (`llama`), whose scores are the order of the merges, WordPiece (`bert`) or Unigram (`t5`). A folder without a
 * tokenizer says `none`.
 * @param count rows of the embedding; numbers without a token get one that is never used
 * @param of what the family has of its own: the kind for SentencePiece's pieces with their merges (`gemma4`)
 * @throws UserError if llama.cpp has no such tokenizer, or none that is known here.
 */
export async function tokenizerEntries(
  folder: string,
  count: number,
  { kind, isEncoder }: { readonly kind: GgufTraits['tokenizer']; readonly isEncoder: boolean },
): Promise<Buffer[]> {
  const file = join(folder, 'tokenizer.json');
  const json = await readJsonObject(file, downloadTokenizer);
  if (json === undefined) {
    return [headerEntry.text(key('model'), 'none')];
  }
  const other = readTokenizerModel(json);
  const around = v.safeParse(aroundSchema, json);
  if (other !== undefined && around.success) {
    if ('problem' in other) {
      throw refusal(file, other.field, other.code, other.problem);
    }
    const { tokens, types: kinds } = otherVocabulary(other, around.output, count);
    return [
      ...other.entries(tokens),
      headerEntry.texts(key('tokens'), tokens),
      headerEntry.integers(key('token_type'), kinds),
      ...(await specialEntries(folder, around.output.post_processor, tokens, other.unknown)),
    ];
  }
  const parsed = v.safeParse(tokenizerSchema, json);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    throw refusal(
      file,
      v.getDotPath(issue) ?? 'model',
      'tokenizer-not-in-gguf',
      say`Only byte-level and SentencePiece BPE, WordPiece and Unigram tokenizers can be written to GGUF files.`,
    );
  }
  const tokenizer = parsed.output;
  const vocabulary = readVocabulary(tokenizer, count, kind);
  const isPieces = tokenizer.model.byte_fallback === true;
  return [
    ...(kind !== undefined
      ? [headerEntry.text(key('model'), kind), ...mergeEntries(tokenizer), noSpacePrefix]
      : isPieces
        ? pieceEntries(tokenizer, vocabulary.tokens)
        : byteLevelEntries(tokenizer, file, isEncoder)),
    headerEntry.texts(key('tokens'), vocabulary.tokens),
    headerEntry.integers(key('token_type'), vocabulary.types),
    ...(await specialEntries(
      folder,
      tokenizer.post_processor,
      vocabulary.tokens,
      tokenizer.model.unk_token,
    )),
  ];
}

function refusal(file: string, field: string, code: ErrorCode, problem: Message): UserError {
  return new UserError(code, problem, {
    file,
    field,
    remedy: say`Choose another format, or convert the folder with convert_hf_to_gguf.py of llama.cpp.`,
  });
}

interface Vocabulary {
  readonly tokens: readonly string[];
  readonly types: readonly number[];
}

/** Special tokens of Gemma 4 that are shown in texts, since llama.cpp's reader of chats looks for them there. */
const shownByGemma4 = new Set([
  ...['<|channel>', '<channel|>', '<|tool_call>', '<tool_call|>'],
  ...['<|tool_response>', '<tool_response|>', '<|"|>'],
]);

function readVocabulary(
  { model, added_tokens: added }: Tokenizer,
  count: number,
  kind: GgufTraits['tokenizer'],
): Vocabulary {
  const known = Object.entries(model.vocab);
  const { tokens, types: kinds } = emptyVocabulary(known, added, count);
  const isByte = (token: string): boolean =>
    model.byte_fallback === true && /^<0x[0-9A-F]{2}>$/.test(token);
  for (const [token, id] of known) {
    tokens[id] = token;
    kinds[id] = isByte(token) ? types.byte : types.normal;
  }
  for (const { id, content, special } of added) {
    tokens[id] = content;
    const isShown = !special || (kind === 'gemma4' && shownByGemma4.has(content));
    kinds[id] = isShown ? types.userDefined : types.control;
  }
  const unknown = model.unk_token === undefined ? -1 : tokens.indexOf(model.unk_token ?? '');
  if (unknown >= 0) {
    kinds[unknown] = types.unknown;
  }
  return { tokens, types: kinds };
}

/** Entries for a vocabulary of unused tokens. */
function emptyVocabulary(
  known: readonly (readonly [token: string, id: number])[],
  added: Around['added_tokens'],
  count: number,
): { readonly tokens: string[]; readonly types: number[] } {
  const size = [...known.map(([, id]) => id), ...added.map(({ id }) => id)].reduce(
    (most, id) => Math.max(most, id + 1),
    count,
  );
  return {
    tokens: Array.from({ length: size }, (_, id) => `[PAD${id}]`),
    types: Array.from({ length: size }, (): number => types.unused),
  };
}

function otherVocabulary(
  { vocabulary, unknown, stored }: TokenizerModel,
  { added_tokens: added }: Around,
  count: number,
): Vocabulary {
  const { tokens, types: kinds } = emptyVocabulary(vocabulary, added, count);
  for (const [token, id] of vocabulary) {
    tokens[id] = stored(token);
    kinds[id] = types.normal;
  }
  for (const { id, content, special } of added) {
    tokens[id] = special ? content : stored(content);
    kinds[id] = special ? types.control : types.userDefined;
  }
  const [, unknownId] = vocabulary.find(([token]) => token === unknown) ?? [];
  if (unknown !== undefined && unknownId !== undefined) {
    tokens[unknownId] = unknown;
    kinds[unknownId] = types.unknown;
  }
  return { tokens, types: kinds };
}

function byteLevelEntries(
  { model, ...tokenizer }: Tokenizer,
  file: string,
  isEncoder: boolean,
): Buffer[] {
  const division = {
    preTokenizer: tokenizer.pre_tokenizer,
    normalizer: tokenizer.normalizer,
    wholeWords: model.ignore_merges === true,
  };
  const kind = findPreTokenizerKind(division, isEncoder);
  if (kind === undefined) {
    throw refusal(
      file,
      'pre_tokenizer',
      'pre-tokenizer-not-in-gguf',
      say`No llama.cpp pre-tokenizer matches this tokenizer.`,
    );
  }
  return [
    headerEntry.text(key('model'), 'gpt2'),
    headerEntry.text(key('pre'), kind),
    ...mergeEntries({ model }),
  ];
}

const noSpacePrefix = headerEntry.flag(key('add_space_prefix'), false);

const mergeEntries = ({ model }: Pick<Tokenizer, 'model'>): Buffer[] => [
  headerEntry.texts(
    key('merges'),
    model.merges.map((merge) => (typeof merge === 'string' ? merge : merge.join(' '))),
  ),
];

/** Score of a token that no merge produces. */
const neverMerged = -1e6;

function pieceEntries(
  { model, normalizer, pre_tokenizer: preTokenizer }: Tokenizer,
  tokens: readonly string[],
): Buffer[] {
  const scores = new Map<string, number>();
  for (const [rank, merge] of model.merges.entries()) {
    const piece = typeof merge === 'string' ? merge.replace(' ', '') : merge.join('');
    scores.set(piece, scores.get(piece) ?? -rank);
  }
  // SentencePiece adds a space before the text; two fields can enable it.
  const beginsWithSpace =
    JSON.stringify(normalizer ?? null).includes('"Prepend"') ||
    /"prepend_scheme":"(?:first|always)"/.test(JSON.stringify(preTokenizer ?? null));
  const tokenScore = (token: string): number => scores.get(token) ?? neverMerged;
  return scoredEntries('llama', tokens, tokenScore, beginsWithSpace);
}
