import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import * as v from 'valibot';
import { isGguf } from '../checkpoints/model-folder';
import { CancelledError } from '../jobs/job';
import { TimeLimitError, withTimeLimit } from '../jobs/time-limit';
import { explainNoTokenizer, tokenizerPlace } from '../models/tokenizer-place';
import type { ErrorCode } from '../error-codes';
import { UserError } from '../user-error';
import { readGgufTokenizer } from './gguf/gguf-tokenizer';
import {
  isRecord,
  readJsonObject,
  downloadTokenizer,
  readTokenizerSettings,
} from './tokenizer-settings';
import type { TokenizerSettings } from './tokenizer-settings';
import { useNativeSteps } from './unigram/native-steps';
import { say } from '../message';
import type { Message } from '../message';

/** Tokenizer of a model. */
export interface Tokenizer {
  /** The tokenizer.json or .gguf file it was read from. */
  readonly file: string;
  /** Token ids of `text`, including the special tokens added by default. */
  encode(text: string): Int32Array;
  /** Token ids without special tokens. */
  encodePlain(text: string): Int32Array;
  /** Decodes token ids, without special tokens by default. */
  decode(ids: readonly number[], withSpecial?: boolean): string;
  /** Token that represents an empty context: BOS, or else EOS. */
  readonly prefixToken: number | undefined;
  /** EOS token. */
  readonly endToken: number | undefined;
  /** Chat template (Jinja), if the model has one. */
  readonly chatTemplate: string | undefined;
  /** Special tokens by name, such as `bos_token`, for templates. */
  readonly specialTokens: Readonly<Record<string, string>>;
}

/**
 * Loads a model's tokenizer: from its folder, from a .gguf file, or from the folder of an .onnx file or the parent
 * folder, as in repositories with a folder of graphs.
 * @throws UserError if tokenizer.json is missing or damaged.
 */
export async function loadTokenizer(model: string): Promise<Tokenizer> {
  if (isGguf(model)) {
    const { definition, settings } = await readGgufTokenizer(model);
    return build(model, definition, settings);
  }
  const { folder, file } = tokenizerPlace(model);
  const definition = await readDefinition(model, file);
  return build(file, definition, await readTokenizerSettings(folder));
}

function build(file: string, definition: object, settings: TokenizerSettings): Tokenizer {
  let tokenizer: HuggingFaceTokenizer;
  try {
    tokenizer = new HuggingFaceTokenizer(definition, settings.config);
    useNativeSteps(tokenizer);
  } catch (error) {
    throw damaged(
      file,
      'tokenizer-invalid',
      say`The tokenizer cannot be built: ${errorText(error)}.`,
    );
  }
  const { chatTemplate, specialTokens } = settings;
  const tokenId = (token: string): number | undefined => tokenizer.token_to_id(token);
  const { bos_token: beginning, eos_token: end } = specialTokens;
  const prefix = beginning ?? end;
  return {
    file,
    encode: (text) => encode(tokenizer, text, true, file),
    encodePlain: (text) => encode(tokenizer, text, false, file),
    decode: (ids, withSpecial = false) =>
      ids.length === 0
        ? ''
        : limited(file, ids.length, () =>
            tokenizer.decode([...ids], { skip_special_tokens: !withSpecial }),
          ),
    prefixToken: prefix === undefined ? undefined : tokenId(prefix),
    endToken: end === undefined ? undefined : tokenId(end),
    chatTemplate,
    specialTokens,
  };
}

/** Minimum time limit for encoding and decoding, in milliseconds. */
const minMilliseconds = 5000;
/** Additional limit per character or token: dozens of times what a slow machine needs. */
const millisecondsEach = 0.02;

/**
 * Runs a tokenizer function with a time limit, because a regular expression from a hostile file can backtrack for
 * years.
 * @param length characters or tokens
 */
function limited<T>(file: string, length: number, run: () => T): T {
  try {
    return withTimeLimit(Math.ceil(minMilliseconds + length * millisecondsEach), run);
  } catch (error) {
    if (!(error instanceof TimeLimitError)) {
      throw error;
    }
    throw damaged(
      file,
      'tokenizer-too-slow',
      say`The tokenizer takes more than ${error.milliseconds / 1000} s for ${length} characters or tokens. One of its regular expressions backtracks endlessly.`,
    );
  }
}

function encode(
  tokenizer: HuggingFaceTokenizer,
  text: string,
  withSpecial: boolean,
  file: string,
): Int32Array {
  let encoding: { readonly ids: readonly number[]; readonly tokens: readonly string[] };
  try {
    encoding = limited(file, text.length, () =>
      tokenizer.encode(text, { add_special_tokens: withSpecial }),
    );
  } catch (error) {
    if (error instanceof UserError || error instanceof CancelledError) {
      throw error;
    }
    throw damaged(
      file,
      'tokenizer-failed',
      say`The tokenizer fails on the text: ${errorText(error)}.`,
    );
  }
  const unknown = encoding.ids.findIndex((id) => !Number.isInteger(id) || id < 0);
  if (unknown >= 0) {
    throw damaged(
      file,
      'token-without-id',
      say`The tokenizer has no id for the token ${JSON.stringify(encoding.tokens[unknown])}.`,
    );
  }
  return Int32Array.from(encoding.ids);
}

/** Checked because the library accepts any object with a length as a text. */
const addedTokens = v.nullish(v.array(v.looseObject({ id: v.number(), content: v.string() })));

async function readDefinition(model: string, file: string): Promise<object> {
  const missing = explainNoTokenizer(model);
  const definition =
    missing === undefined ? await readJsonObject(file, downloadTokenizer) : undefined;
  if (definition === undefined) {
    throw new UserError(
      missing?.code ?? 'file-deleted',
      missing?.reason ?? say`The file no longer exists.`,
      { file, remedy: missing?.remedy ?? downloadTokenizer },
    );
  }
  if (!isRecord(definition['model'])) {
    throw damaged(
      file,
      'tokenizer-model-invalid',
      say`It must be an object that describes the tokenizer.`,
      'model',
    );
  }
  if (!v.is(addedTokens, definition['added_tokens'])) {
    throw damaged(
      file,
      'tokenizer-tokens-invalid',
      say`It must be a list of tokens with an id and a text.`,
      'added_tokens',
    );
  }
  // Some exports omit fields whose value is null, but the library requires them.
  return {
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    ...definition,
    added_tokens: definition['added_tokens'] ?? [],
  };
}

function damaged(file: string, code: ErrorCode, problem: Message, field?: string): UserError {
  return new UserError(code, problem, {
    file,
    ...(field === undefined ? {} : { field }),
    remedy: downloadTokenizer,
  });
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
