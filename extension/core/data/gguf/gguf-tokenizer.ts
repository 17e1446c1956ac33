import { readGgufHeader } from '../../checkpoints/gguf';
import type { GgufScalar } from '../../checkpoints/gguf-values';
import { say } from '../../message';
import type { TokenizerSettings } from '../tokenizer-settings';
import type { CharsmapStep } from '../unigram/native-steps';
import { findPreTokenizer } from './pre-tokenizers';
import { TokenizerKeys } from './tokenizer-keys';
import type { Vocabulary } from './tokenizer-keys';

/** Token types (`enum llama_token_type`). */
const unknownType = 2;
const controlType = 3;
const userDefinedType = 4;

/** Tokenizer of a GGUF file. */
export interface GgufTokenizer {
  /** Equivalent tokenizer.json. */
  readonly definition: Record<string, unknown>;
  /** Settings other than the tokenizer definition. */
  readonly settings: TokenizerSettings;
}

/**
 * Converts the tokenizers `gpt2` (byte-level BPE), `llama` (SentencePiece BPE), `gemma4` (SentencePiece BPE with
 * merges), `bert` (WordPiece) and `t5` (Unigram).
 * @throws UserError naming the invalid key.
 */
export async function readGgufTokenizer(path: string): Promise<GgufTokenizer> {
  const source = new TokenizerKeys(path, (await readGgufHeader(path)).metadata);
  return { definition: await readDefinition(source), settings: await readSettings(source) };
}

async function readDefinition(source: TokenizerKeys): Promise<Record<string, unknown>> {
  const kind = source.scalar('model');
  if (kind === undefined || kind === 'none') {
    throw source.fault(
      'model',
      'gguf-tokenizer-missing',
      say`The file has no tokenizer, so text can't be tokenized.`,
    );
  }
  if (kind === 'gpt2') {
    return byteLevel(source);
  }
  if (kind === 'llama') {
    return sentencePiece(source);
  }
  if (kind === 'gemma4') {
    return byCharacter(source, true);
  }
  if (kind === 'bert') {
    return wordPiece(source);
  }
  if (kind === 't5') {
    return unigram(source);
  }
  throw source.fault(
    'model',
    'gguf-tokenizer-unsupported',
    say`Tokenizers of type ${JSON.stringify(kind)} are not supported.`,
  );
}

async function readSettings(source: TokenizerKeys): Promise<TokenizerSettings> {
  const { tokens } = await source.vocabulary();
  const special = ['bos', 'eos', 'unknown', 'padding', 'cls', 'seperator', 'mask'].flatMap(
    (name) => {
      const id = source.scalar(`${name}_token_id`);
      const token = typeof id === 'number' ? tokens[id] : undefined;
      return token === undefined ? [] : [[`${shortNames[name] ?? name}_token`, token] as const];
    },
  );
  return {
    config: {},
    chatTemplate: source.chatTemplate,
    specialTokens: Object.fromEntries(special),
  };
}

/** Names in chat templates that differ from those in the file. */
const shortNames: Readonly<Record<string, string>> = {
  unknown: 'unk',
  padding: 'pad',
  seperator: 'sep',
};

/** `tokenizer.ggml.pre` values of `gpt2` models whose merges are over characters instead of bytes. */
const characterPreTokenizers: readonly unknown[] = [
  'gemma4',
  'granite-embed-multi-311m',
  'sarvam-moe',
];

async function byteLevel(source: TokenizerKeys): Promise<Record<string, unknown>> {
  const kind = source.scalar('pre') ?? 'default';
  if (characterPreTokenizers.includes(kind)) {
    return byCharacter(source, false);
  }
  const division = typeof kind === 'string' ? findPreTokenizer(kind) : undefined;
  if (division === undefined) {
    throw source.fault(
      'pre',
      'gguf-pre-tokenizer-unsupported',
      say`Unsupported pre-tokenizer ${JSON.stringify(kind)}.`,
    );
  }
  const vocabulary = await source.vocabulary();
  const { preTokenizer, normalizer, wholeWords, beginsText } = division;
  const unknown = source.scalar('unknown_token_id');
  return {
    added_tokens: addedTokens(vocabulary),
    normalizer,
    pre_tokenizer: preTokenizer,
    post_processor: postProcessor(source, vocabulary, beginsText),
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      vocab: ids(vocabulary),
      merges: await source.texts('merges'),
      unk_token: typeof unknown === 'number' ? (vocabulary.tokens[unknown] ?? null) : null,
      ignore_merges: wholeWords,
      byte_fallback: false,
      fuse_unk: false,
    },
  };
}

const spaceToMark = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
const fromMarks = [
  { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
  { type: 'ByteFallback' },
  { type: 'Fuse' },
];

/** BPE over characters, with spaces as ▁ and byte fallback. Merges don't cross line ends. */
async function byCharacter(
  source: TokenizerKeys,
  beginsText: boolean,
): Promise<Record<string, unknown>> {
  const vocabulary = await source.vocabulary();
  return {
    added_tokens: addedTokens(vocabulary),
    normalizer: spaceToMark,
    pre_tokenizer: {
      type: 'Split',
      pattern: { Regex: '[^\\n]+|[\\n]+' },
      behavior: 'Isolated',
      invert: false,
    },
    post_processor: postProcessor(source, vocabulary, beginsText),
    decoder: { type: 'Sequence', decoders: fromMarks },
    model: {
      type: 'BPE',
      vocab: ids(vocabulary),
      merges: await source.texts('merges'),
      unk_token: unknownToken(vocabulary),
      byte_fallback: true,
      fuse_unk: true,
    },
  };
}

const unknownToken = ({ tokens, types }: Vocabulary): string | null =>
  tokens[types.indexOf(unknownType)] ?? null;

async function sentencePiece(source: TokenizerKeys): Promise<Record<string, unknown>> {
  const vocabulary = await source.vocabulary();
  const scores = await source.numbers('scores');
  return {
    added_tokens: addedTokens(vocabulary),
    normalizer:
      source.scalar('add_space_prefix') === false
        ? spaceToMark
        : { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, spaceToMark] },
    pre_tokenizer: null,
    post_processor: postProcessor(source, vocabulary, true),
    decoder: {
      type: 'Sequence',
      decoders: [...fromMarks, { type: 'Strip', content: ' ', start: 1, stop: 0 }],
    },
    model: {
      type: 'BPE',
      vocab: ids(vocabulary),
      merges: mergesByScore(vocabulary.tokens, scores),
      unk_token: unknownToken(vocabulary),
      byte_fallback: true,
      fuse_unk: true,
    },
  };
}

/** Default ids of BERT (src/llama-vocab.cpp). */
const bertIds = { unknown_token_id: 100, bos_token_id: 101, seperator_token_id: 102 } as const;
/** Key of the BOS token in files of 2024. */
const olderNames: Readonly<Record<string, string>> = { bos_token_id: 'cls_token_id' };

/** WordPiece. GGUF marks the first piece of a word with ▁; tokenizer.json marks the other pieces instead. */
async function wordPiece(source: TokenizerKeys): Promise<Record<string, unknown>> {
  const { tokens, types } = await source.vocabulary();
  const marked = tokens.map((token, id) =>
    types[id] === controlType || types[id] === unknownType
      ? token
      : token.startsWith('▁')
        ? token.slice(1)
        : `##${token}`,
  );
  const specialToken = (key: keyof typeof bertIds): Special => {
    const id = Number(source.scalar(key) ?? source.scalar(olderNames[key] ?? key) ?? bertIds[key]);
    return { id, token: marked[id] ?? '' };
  };
  const vocabulary = { tokens: marked, types };
  const lowercase = source.scalar('normalizer.lowercase') ?? true;
  return {
    added_tokens: addedTokens(vocabulary),
    normalizer: {
      type: 'BertNormalizer',
      ...{ clean_text: true, handle_chinese_chars: true, lowercase },
      strip_accents: source.scalar('normalizer.strip_accents') ?? lowercase,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: around([specialToken('bos_token_id')], [specialToken('seperator_token_id')]),
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      ...{ vocab: ids(vocabulary), unk_token: specialToken('unknown_token_id').token },
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
    },
  };
}

/** Default unknown id of T5 (src/llama-vocab.cpp). */
const defaultUnknown = 2;

/** Unigram model. Scores are log probabilities. */
async function unigram(source: TokenizerKeys): Promise<Record<string, unknown>> {
  const vocabulary = await source.vocabulary();
  const scores = await source.numbers('scores');
  const { tokens, types } = vocabulary;
  const byType = types.indexOf(unknownType);
  const merges = source.scalar('remove_extra_whitespaces') === true;
  // llama.cpp adds a space before each word it keeps, including the first, and no prefix by default.
  const prefixes = merges || source.scalar('add_space_prefix') === true;
  const metaspace = {
    ...{ type: 'Metaspace', replacement: '▁', split: true },
    prepend_scheme: prefixes ? 'always' : 'never',
  };
  return {
    added_tokens: addedTokens(vocabulary),
    normalizer: {
      type: 'Sequence',
      normalizers: [
        ...(await charsmapSteps(source)),
        ...(merges ? [replaced('\\A +| +\\z', ''), replaced(' {2,}', ' ')] : []),
        // Metaspace adds no space if the text already starts with one.
        ...(prefixes ? [replaced('\\A(?=▁| +[^ ])', ' ')] : []),
      ],
    },
    pre_tokenizer: metaspace,
    post_processor: postProcessor(source, vocabulary, false, true),
    decoder: metaspace,
    model: {
      type: 'Unigram',
      unk_id: source.scalar('unknown_token_id') ?? (byType < 0 ? defaultUnknown : byType),
      vocab: tokens.map((token, id) => [token, scores[id] ?? 0]),
    },
  };
}

const replaced = (pattern: string, content: string): object => ({
  ...{ type: 'Replace', pattern: { Regex: pattern }, content },
});

async function charsmapSteps(source: TokenizerKeys): Promise<CharsmapStep[]> {
  const key = 'precompiled_charsmap';
  if (!source.has(key)) {
    return [];
  }
  const bytes = Buffer.from(await source.numbers(key));
  return [{ type: 'Precompiled', [key]: bytes.toString('base64'), longest: true }];
}

function ids({ tokens }: Vocabulary): Record<string, number> {
  return Object.fromEntries(tokens.map((token, id) => [token, id]));
}

function addedTokens({ tokens, types }: Vocabulary): unknown[] {
  return tokens.flatMap((content, id) => {
    const type = types[id];
    return type === controlType || type === userDefinedType || type === unknownType
      ? [
          {
            id,
            content,
            special: type !== userDefinedType,
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: false,
          },
        ]
      : [];
  });
}

/** Adds BOS and EOS tokens if the file requests them. */
function postProcessor(
  source: TokenizerKeys,
  { tokens }: Vocabulary,
  beginsByDefault: boolean,
  endsByDefault = false,
): unknown {
  const specialToken = (wanted: GgufScalar, key: string): Special[] => {
    if (wanted !== true) {
      return [];
    }
    const id = source.scalar(key);
    const token = typeof id === 'number' ? tokens[id] : undefined;
    if (typeof id !== 'number' || token === undefined) {
      throw source.fault(key, 'gguf-token-id-invalid', say`It is not a token id.`);
    }
    return [{ id, token }];
  };
  const before = specialToken(source.scalar('add_bos_token') ?? beginsByDefault, 'bos_token_id');
  const after = specialToken(source.scalar('add_eos_token') ?? endsByDefault, 'eos_token_id');
  return around(before, after);
}

interface Special {
  readonly id: number;
  readonly token: string;
}

/** Post-processor that adds tokens before and after a text. */
function around(before: readonly Special[], after: readonly Special[]): unknown {
  const all = [...before, ...after];
  const special = ({ token }: Special): unknown => ({ SpecialToken: { id: token, type_id: 0 } });
  const single = [
    ...before.map(special),
    { Sequence: { id: 'A', type_id: 0 } },
    ...after.map(special),
  ];
  const tokens = all.map(({ id, token }) => [token, { id: token, ids: [id], tokens: [token] }]);
  return all.length === 0
    ? null
    : {
        ...{ type: 'TemplateProcessing', single, pair: single },
        special_tokens: Object.fromEntries(tokens) as unknown,
      };
}

/**
 * Merges of a SentencePiece BPE model, which stores only scores: every pair of pieces that forms a piece of the
 * vocabulary can merge, in the order of the resulting piece's score.
 */
function mergesByScore(tokens: readonly string[], scores: readonly number[]): [string, string][] {
  const known = new Set(tokens);
  const score = (id: number): number => scores[id] ?? 0;
  const merges: [string, string][] = [];
  for (const id of [...tokens.keys()].sort((a, b) => score(b) - score(a))) {
    const token = tokens[id] ?? '';
    let end = 0;
    for (const character of token) {
      end += character.length;
      const first = token.slice(0, end);
      if (known.has(first) && end < token.length) {
        const rest = token.slice(end);
        if (known.has(rest)) {
          merges.push([first, rest]);
        }
      }
    }
  }
  return merges;
}
