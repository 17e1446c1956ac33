import { join } from 'node:path';
import * as v from 'valibot';
import { findPreTokenizerKind } from '../../data/gguf/pre-tokenizers';
import {
  readJsonObject,
  isRecord,
  downloadTokenizer,
  readTokenizerSettings,
} from '../../data/tokenizer-settings';
import type { GgufTraits } from '../../models/gguf/gguf-traits';
import type { ErrorCode } from '../../error-codes';
import { UserError } from '../../user-error';
import { readTokenizerModel, scoredEntries } from './encoders/tokenizer-models';
import type { TokenizerModel } from './encoders/tokenizer-models';
import { headerEntry, tokenizerKey as key, tokenizerKey } from './header-entries';
import { say } from '../../message';
import type { Message } from '../../message';

/** Token types (`enum llama_token_type`). */
const types = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

const nothing = v.nullish(v.unknown());

/** Names of special tokens in a GGUF file, and in a folder in order of priority. */
const specialNames = {
  bos: ['bos', 'cls'],
  eos: ['eos', 'sep'],
  unknown: ['unk'],
  padding: ['pad'],
  cls: ['cls'],
  // llama.cpp spells it so.
  seperator: ['sep'],
  mask: ['mask'],
} as const;
type SpecialName = keyof typeof specialNames;

/**
 * Header entries for special tokens. Sources in order: the post-processor of tokenizer.json, tokenizer_config.json,
 * special_tokens_map.json, then ids in config.json.
 * @param tokens by id
 * @param unknown unknown token of the tokenizer's model, or undefined
 * @throws UserError if the post-processor adds something that is not a token
 */
async function specialEntries(
  folder: string,
  processor: unknown,
  tokens: readonly string[],
  unknown: string | null | undefined,
): Promise<Buffer[]> {
  const { specialTokens, chatTemplate } = await readTokenizerSettings(folder);
  const file = join(folder, 'tokenizer.json');
  const config = (await readJsonObject(join(folder, 'config.json'), downloadTokenizer)) ?? {};
  const findId = (text: string | null | undefined): number | undefined => {
    const id = typeof text === 'string' ? tokens.indexOf(text) : -1;
    return id < 0 ? undefined : id;
  };
  const around = (text: string | undefined): number | undefined => {
    const id = findId(text);
    if (text !== undefined && id === undefined) {
      throw new UserError(
        'special-token-unknown',
        say`${JSON.stringify(text)}, which is added around texts, is not a token.`,
        { file, field: 'post_processor', remedy: downloadTokenizer },
      );
    }
    return id;
  };
  const [before, after] = addedTokens(processor).map(around);
  const named = (names: readonly string[]): number | undefined =>
    names.map((name) => findId(specialTokens[`${name}_token`])).find((id) => id !== undefined);
  const numbered = (names: readonly string[]): number | undefined =>
    names.map((name) => idIn(config, `${name}_token_id`)).find((id) => id < tokens.length);
  const own: Partial<Record<SpecialName, number | undefined>> = { bos: before, eos: after };
  const otherwise: typeof own = { unknown: findId(unknown), seperator: after };
  const ids = Object.entries(specialNames).map(([name, inFolder]) => [
    name,
    own[name as SpecialName] ??
      named(inFolder) ??
      otherwise[name as SpecialName] ??
      numbered(inFolder),
  ]);
  // The token that ends a text can differ from the one that ends an answer.
  const answerEnd = named(['eos']);
  const further = after === undefined || answerEnd === after ? [] : [['eot', answerEnd]];
  return [
    ...[...ids, ...further].flatMap(([name, id]) =>
      typeof id === 'number' ? [headerEntry.integer(tokenizerKey(`${name}_token_id`), id)] : [],
    ),
    headerEntry.flag(tokenizerKey('add_bos_token'), before !== undefined),
    headerEntry.flag(tokenizerKey('add_eos_token'), after !== undefined),
    ...(chatTemplate === undefined
      ? []
      : [headerEntry.text('tokenizer.chat_template', chatTemplate)]),
  ];
}

/** Token id in config.json, or in the text model's config; infinity if absent. */
function idIn(config: Readonly<Record<string, unknown>>, field: string): number {
  const { text_config: text } = config;
  const id = config[field] ?? (isRecord(text) ? text[field] : undefined);
  return typeof id === 'number' && id >= 0 ? id : Infinity;
}

const special = v.looseObject({ SpecialToken: v.looseObject({ id: v.string() }) });
const templateSchema = v.looseObject({
  type: v.literal('TemplateProcessing'),
  single: v.array(v.looseObject({})),
});
const tokenSchema = v.tuple([v.string(), v.number()]);
/** Post-processors of BERT and RoBERTa. */
const pairSchema = v.looseObject({
  type: v.picklist(['BertProcessing', 'RobertaProcessing']),
  cls: tokenSchema,
  sep: tokenSchema,
});

/** Texts of the tokens that are put before and after a text. */
function addedTokens(
  processor: unknown,
): readonly [before: string | undefined, after: string | undefined] {
  const { processors } = (processor ?? {}) as { processors?: unknown };
  const all: readonly unknown[] = Array.isArray(processors) ? processors : [processor];
  const pair = all.find((one) => v.is(pairSchema, one));
  if (pair !== undefined) {
    return [pair.cls[0], pair.sep[0]];
  }
  const { single = [] } = all.find((one) => v.is(templateSchema, one)) ?? {};
  const tokenText = (part: unknown): string | undefined =>
    single.length > 1 && v.is(special, part) ? part.SpecialToken.id : undefined;
  return [tokenText(single[0]), tokenText(single.at(-1))];
}

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
